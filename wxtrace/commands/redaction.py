"""Who, where and what is secret, taken out of text that is to be shown to others.

Users, home folders and hosts are hidden wherever they stand, secrets where an option, an assignment, a URL or their own
form says that they are some. What nothing tells of (a password that stands alone) cannot be found.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections import Counter
from typing import Callable, Iterable, List, Optional, Sequence, Set

from wxtrace.explain.wording import plural

__all__ = ["Redaction"]

_FIRST_USER = 1000
"""User ids from here on are people (login.defs(5), UID_MIN)."""
_SHORTEST = 3
"""Characters; a shorter name is part of too many words to be taken out wherever it stands."""
_MOST_CLEAN = 100_000
_PEOPLES = re.compile(r"(?:/home/|/Users/|[\\/]users[\\/]|/run/media/)([^\s/\\,()'\":]+)", re.IGNORECASE)
_NOBODY = frozenset({"git", "nobody", "nogroup", "public", "default", "user", "lib", "lib64", "usr"})
# Homes that are no one's own: what stands there says nothing of who it was.
_NO_HOMES = re.compile(r"/?|/(?:bin|sbin|dev|etc|proc|sys|usr|var|run|tmp|opt|srv|home|mnt|nonexistent)(?:/[^/]*)?")
# As names of hosts they are left where they are the first word of a setting, or a folder (vm.overcommit_memory).
_COMMON = frozenset(
    {
        "abi",
        "bin",
        "boot",
        "debug",
        "dev",
        "etc",
        "fs",
        "home",
        "kernel",
        "lib",
        "linux",
        "localhost",
        "lost",
        "media",
        "mnt",
        "net",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "srv",
        "sunrpc",
        "sys",
        "tmp",
        "user",
        "usr",
        "var",
        "vm",
    }
)
_STRONG = r"passw(?:or)?d|passphrase|passcode|secret|token|credentials?|api[-_]?key|access[-_]?key|private[-_]?key"
_WEAK = r"(?<![a-z])(?:auth|authorization|cookie|pass|pin|otp|pwd)(?![a-z])"
_OPTION = re.compile(r"-{1,2}[\w.-]*(?:%s|%s)[\w.-]*" % (_STRONG, _WEAK), re.IGNORECASE)
_VALUE = r"(?!SECRET\b)(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)"
_SECRETS = (
    # An option with its value, joined or apart.
    re.compile(r"(?<![\w-])(%s(?:=|\s+(?!-)))(%s)" % (_OPTION.pattern, _VALUE), re.IGNORECASE),
    # PGPASSWORD=…, ?token=…, "password": "…"
    re.compile(r"((?:%s)(?:\s*=\s*|[\"']\s*:\s*|:(?=\S)))(%s)" % (_STRONG, _VALUE), re.IGNORECASE),
    re.compile(r"(Authorization:\s*\w+\s+|\bBearer\s+(?=\S{16}))(?!SECRET\b)([\w.+/=~-]{6,})", re.IGNORECASE),
    re.compile(r"((?<![\w-])-u\s+[^\s:]+:)(?!SECRET\b)(\S+)"),
)
_USER_INFO = re.compile(r"([a-z][\w+.-]*://)(?!(?:SECRET|USER)@)[^\s/@]+@", re.IGNORECASE)
_LOGIN = re.compile(r"(?:[a-z][\w+.-]*://|(?<![\w-])-u\s+)([^\s/@:]+)(?=:[^\s@]+|@)", re.IGNORECASE)
_MAIL = re.compile(
    r"(?<![\w.])[\w.+%-]+@(?:[\w-]+\.)+(?!(?:service|slice|scope|socket|mount|target|so)\b)[a-z]{2,}\b", re.IGNORECASE
)
# The forms in which services give out their tokens.
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}"
    r"|AIza[\w-]{30,}|[sprk]k[-_](?:live|test|proj|ant)?[\w-]{20,}|npm_\w{30,}|pypi-[\w-]{20,}|hf_\w{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)"
)
_USER, _HOST, _SECRET = "USER", "HOST", "SECRET"


class Redaction:
    """Learns names from every text first, then takes them out: a name that shows in one path may stand alone elsewhere.

    What this machine knows (its users, its host name) is known from the start.
    """

    def __init__(self) -> None:
        accounts = list(_users())
        people = [entry for entry in accounts if entry.pw_uid >= _FIRST_USER and entry.pw_name not in _NOBODY]
        self._homes = {entry.pw_dir for entry in accounts if not _NO_HOMES.fullmatch(entry.pw_dir)}
        self._homes |= {entry.pw_dir for entry in people} | {os.path.expanduser("~")}
        self._homes -= {"/", "", "~", "/nonexistent"}
        self._names: Set[str] = {entry.pw_name for entry in people}
        for variable in ("USER", "LOGNAME", "SUDO_USER"):
            self._names.add(os.environ.get(variable, ""))
        self._names -= {"", "root"}
        self._learnt_secrets: Set[str] = set()
        self._counts: Counter[str] = Counter()
        self._steps: Optional[List[Callable[[str], str]]] = None
        # Texts in which there is nothing: most of a timeline's come again and again.
        self._clean: Set[str] = set()
        host = socket.gethostname()
        self._hosts = {host, host.partition(".")[0]} - {"", "localhost"}
        self._domain = host.partition(".")[2]

    def learn(self, text: str) -> None:
        """Note whose folders are named here."""
        self._names |= {name for name in _PEOPLES.findall(text) if name.lower() not in _NOBODY}
        self._names |= {name for name in _LOGIN.findall(text) if name.lower() not in _NOBODY}
        for pattern in _SECRETS:
            self._learn_secrets(found.group(2) for found in pattern.finditer(text))
        self._steps = None

    def learn_arguments(self, words: Sequence[str]) -> None:
        """As `learn`, of the arguments of a program: one may hold spaces."""
        for word in words:
            self.learn(word)
        self._learn_secrets(words[at + 1] for at in range(len(words) - 1) if _takes_secret(words, at))

    def _learn_secrets(self, values: Iterable[str]) -> None:
        self._learnt_secrets |= {value.strip("\"'") for value in values if len(value.strip("\"'")) > _SHORTEST}

    def apply(self, text: str) -> str:
        """The text with /home/USER, USER, HOST and SECRET in place of them."""
        if self._steps is None:
            self._steps = self._made_steps()
            self._clean.clear()
        if text in self._clean:
            return text
        hidden = text
        for step in self._steps:
            hidden = step(hidden)
        if hidden == text and len(self._clean) < _MOST_CLEAN:
            self._clean.add(text)
        return hidden

    def apply_arguments(self, words: Sequence[str]) -> List[str]:
        """As `apply`, of the arguments of a program."""
        hidden = []
        for at, word in enumerate(words):
            if at and _takes_secret(words, at - 1):
                self._counts[_SECRET] += 1
                hidden.append(_SECRET)
            else:
                hidden.append(self.apply(word))
        return hidden

    def told(self) -> str:
        """What was hidden so far, in words."""
        names = ((_USER, "users and home folders"), (_HOST, "hosts"), (_SECRET, "secrets"))
        parts = [
            "%s, %s, as %s" % (what, plural(self._counts[word], "time"), word)
            for word, what in names
            if self._counts[word]
        ]
        return "; ".join(parts) if parts else "nothing (no user, host or secret was recognised)"

    def _made_steps(self) -> List[Callable[[str], str]]:
        steps: List[Callable[[str], str]] = []
        for secret in sorted(self._learnt_secrets, key=len, reverse=True):
            steps.append(self._step(r"(?<![^\W_])%s(?![^\W_])" % re.escape(secret), _SECRET, _SECRET))
        for secret_in in _SECRETS:
            steps.append(self._step(secret_in.pattern, r"\1" + _SECRET, _SECRET))
        steps.append(self._step(_TOKENS.pattern, _SECRET, _SECRET, flags=0))
        steps.append(self._step(_USER_INFO.pattern, r"\1%s@" % _SECRET, _SECRET))
        steps.append(self._step(_MAIL.pattern, "%s@%s" % (_USER, _HOST), _USER, _HOST))
        for home in sorted(self._homes, key=len, reverse=True):
            steps.append(self._step(r"(?<![\w/])%s(?![\w.-])" % re.escape(home), "/home/" + _USER, _USER, flags=0))
        steps.append(self._people)
        for name in sorted(self._names, key=len, reverse=True):
            if len(name) >= _SHORTEST:
                steps.append(self._step(_alone(name), _USER, _USER, flags=0))
        if self._domain.count("."):
            steps.append(self._step(r"(?<![\w.-])(?:[\w-]+\.)*%s(?![\w-])" % re.escape(self._domain), _HOST, _HOST))
        for host in sorted(self._hosts, key=len, reverse=True):
            steps.append(self._step(r"(?<![\w.])[\w.+%%-]+@(?=%s\b)" % re.escape(host), _USER + "@", _USER))
            if host in _COMMON:
                steps.append(self._step(r"(?<![\w./-])%s(?![\w./-])" % re.escape(host), _HOST, _HOST))
            else:
                # With any domain behind it.
                steps.append(self._step(_alone(host) + r"(?:\.[a-z][\w-]*)*", _HOST, _HOST))
        return steps

    def _step(self, pattern: str, by: str, *kinds: str, flags: int = re.IGNORECASE) -> Callable[[str], str]:
        search = re.compile(pattern, flags)

        def step(text: str) -> str:
            text, count = search.subn(by, text)
            for kind in kinds:
                self._counts[kind] += count
            return text

        return step

    def _people(self, text: str) -> str:
        return _PEOPLES.sub(self._to_user, text)

    def _to_user(self, found: re.Match[str]) -> str:
        whole, name = found.group(0), found.group(1)
        if name.lower() in _NOBODY:
            return whole
        self._counts[_USER] += 1
        return whole[: -len(name)] + _USER


def _takes_secret(words: Sequence[str], at: int) -> bool:
    """Whether the argument behind this one is a secret."""
    return _OPTION.fullmatch(words[at]) is not None and not words[at + 1].startswith("-")


def _alone(name: str) -> str:
    """Not as a part of a longer word; what is glued by `_` or `-` is a word."""
    return r"(?<![^\W_])%s(?![^\W_])" % re.escape(name)


def _users() -> Iterable[pwd.struct_passwd]:
    try:
        own = [pwd.getpwuid(os.getuid())]
    except KeyError:
        own = []
    return [*pwd.getpwall(), *own]
