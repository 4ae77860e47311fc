"""What bound the caller beside the kernel's own rules: security modules and inherited filters, as their files say.

Part of the facts (`wxtrace.model.facts`). None stands for what could not be read.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

from wxtrace.frozen import Frozen

__all__ = ["DESCRIPTOR", "Ancestor", "Listener", "ModuleState", "PolicyAnswer", "SelinuxState"]

DESCRIPTOR = "descriptor"
"""PolicyAnswer.about for the file behind the descriptor of the call."""


class PolicyAnswer(NamedTuple):
    """What SELinux's policy grants the caller on objects of one class (selinuxfs `access`).

    `about`: "" for the domain itself, DESCRIPTOR, or the start of a mapping in hexadecimal.
    """

    about: str
    tclass: str
    target: str
    granted: List[str]
    refused: List[str]
    permissive: bool = False


class SelinuxState(Frozen):
    """SELinux at a refusal. `why_not`: why the policy could not be asked; `booleans` as they were then.

    `as_requested`: the protection asked for is checked, without what READ_IMPLIES_EXEC adds (checkreqprot).
    `place_labels`: by `about` of an answer, the label that the policy's file contexts give the path of that file.
    """

    enforcing: Optional[bool] = None
    domain: Optional[str] = None
    answers: List[PolicyAnswer] = []
    booleans: Dict[str, bool] = {}
    why_not: str = ""
    as_requested: bool = False
    place_labels: Dict[str, str] = {}


class ModuleState(Frozen):
    """The other modules at a refusal.

    `apparmor` and `smack` are the caller's labels, `bpf_programs` the loaded BPF_PROG_TYPE_LSM programs (id: hook and
    name, "?" for a hook that is not known), `ipe_policy` the active policy, `ima_rules` the rules that appraise mapped
    code, `smack_mmap` the label of the file that asks for a rule of its own.
    """

    apparmor: Optional[str] = None
    smack: Optional[str] = None
    smack_mmap: Optional[str] = None
    bpf_programs: Optional[Dict[str, str]] = None
    ipe_enforces: Optional[bool] = None
    ipe_policy: Optional[str] = None
    ima_rules: Optional[List[str]] = None


class Ancestor(NamedTuple):
    """One process above the caller, with the number of seccomp filters that bind it."""

    pid: int
    comm: str
    filters: Optional[int] = None


class Listener(NamedTuple):
    """A process that holds the listening end of some seccomp filter."""

    pid: int
    comm: str
