"""Every cause wxtrace can name so far: its id and who refuses. Ids are stable; other programs match on them."""

from __future__ import annotations

from typing import Dict, Optional

__all__ = ["REFUSED_BY"]

REFUSED_BY: Dict[str, Optional[str]] = {
    "fd.write-mode": "kernel",
    "fd.read-mode": "kernel",
    "fd.append-only": "kernel",
    "fd.bad": "kernel",
    "fd.not-mappable": "kernel",
    "fd.offset-overflow": "kernel",
    "fd.driver": "kernel",
    "mount.noexec": "kernel",
    "superblock.noexec": "kernel",
    "mdwe": "kernel",
    "selinux.execmem": "SELinux",
    "selinux.execheap": "SELinux",
    "selinux.execstack": "SELinux",
    "selinux.execmod": "SELinux",
    "selinux.file-execute": "SELinux",
    "selinux.other": "SELinux",
    "seccomp.errno": "seccomp filter",
    "seccomp.trap": "seccomp filter",
    "seccomp.kill": "seccomp filter",
    "mseal": "kernel",
    "memfd.write-seal": "kernel",
    "memfd.flags": "kernel",
    "limit.address-space": "kernel",
    "limit.data": "kernel",
    "limit.memlock": "kernel",
    "limit.map-count": "kernel",
    "limit.overcommit": "kernel",
    "limit.hugepages": "kernel",
    "address.unmapped": "kernel",
    "address.occupied": "kernel",
    "address.below-minimum": "kernel",
    "address.no-room": "kernel",
    "address.special-mapping": "kernel",
    "address.brk-collision": "kernel",
    "argument.alignment": "kernel",
    "argument.length": "kernel",
    "argument.flags": "kernel",
    "argument.prot": "kernel",
    "argument.growsdown": "kernel",
    "argument.advice": "kernel",
    "argument.pointer": "kernel",
    "argument.shm": "kernel",
    "tracer.interference": "wxtrace",
    "unknown": None,
}
