"""The hooks of security modules that memory calls run into (include/linux/lsm_hook_defs.h)."""

from __future__ import annotations

from wxtrace.model.causes import lsm
from wxtrace.model.causes.order import EachModule
from wxtrace.model.causes.selinux import rules as selinux

__all__ = ["FILE_MPROTECT", "MMAP_ADDR", "MMAP_FILE"]

MMAP_FILE = EachModule(
    selinux=selinux.selinux_at_mmap,
    apparmor=lsm.apparmor_at_mmap,
    smack=lsm.smack_at_mmap,
    bpf=lsm.bpf_at_mmap,
    ipe=lsm.ipe_at_mmap,
    ima=lsm.ima_at_mmap,
    unlisted=lsm.unlisted_at_mmap,
)
"""security_mmap_file, from mm/util.c:vm_mmap_pgoff, before all that mmap checks of its arguments."""
MMAP_ADDR = EachModule(selinux=selinux.selinux_at_address, bpf=lsm.bpf_at_address)
"""security_mmap_addr, behind the capability for low addresses."""
FILE_MPROTECT = EachModule(
    selinux=selinux.selinux_at_mprotect,
    apparmor=lsm.apparmor_at_mprotect,
    bpf=lsm.bpf_at_mprotect,
    ipe=lsm.ipe_at_mprotect,
    ima=lsm.ima_at_mprotect,
    unlisted=lsm.unlisted_at_mprotect,
)
"""security_file_mprotect, of each VMA."""
