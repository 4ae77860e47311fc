"""Who and where, taken out of text that is to be shown to others: user names, home folders, the host's name."""

from __future__ import annotations

import os
import pwd
import re
import socket
from typing import Iterable, Set

__all__ = ["Redaction"]

_FIRST_USER = 1000
"""User ids from here on are people (login.defs(5), UID_MIN)."""
_SHORTEST = 3
"""Characters; a shorter name is part of too many words to be taken out wherever it stands."""
_PEOPLES = re.compile(r"(?:/home/|/Users/|[\\/]users[\\/]|/run/media/)([^\s/\\,()'\":]+)", re.IGNORECASE)
_NOBODY = frozenset({"nobody", "nogroup", "public", "default", "user", "lib", "lib64", "usr"})


class Redaction:
    """Learns names from every text first, then takes them out: a name that shows in one path may stand alone elsewhere.

    What this machine knows (its users, its host name) is known from the start.
    """

    def __init__(self) -> None:
        people = [entry for entry in _users() if entry.pw_uid >= _FIRST_USER and entry.pw_name not in _NOBODY]
        self._homes = {entry.pw_dir for entry in people} | {os.path.expanduser("~")}
        self._homes -= {"/", "", "~", "/nonexistent"}
        self._names: Set[str] = {entry.pw_name for entry in people}
        for variable in ("USER", "LOGNAME", "SUDO_USER"):
            self._names.add(os.environ.get(variable, ""))
        self._names -= {"", "root"}
        host = socket.gethostname()
        self._hosts = {host, host.partition(".")[0]} - {"", "localhost"}

    def learn(self, text: str) -> None:
        """Note whose folders are named here."""
        self._names |= {name for name in _PEOPLES.findall(text) if name.lower() not in _NOBODY}

    def apply(self, text: str) -> str:
        """The text with /home/USER, USER and HOST in place of them."""
        for home in sorted(self._homes, key=len, reverse=True):
            text = re.sub(r"(?<![\w/])%s(?![\w.-])" % re.escape(home), "/home/USER", text)
        text = _PEOPLES.sub(_to_user, text)
        text = _without(text, (name for name in self._names if len(name) >= _SHORTEST), "USER", r"\w")
        # A short host name may be the first word of a setting (vm.overcommit_memory) or a folder.
        return _without(text, self._hosts, "HOST", r"\w./-")


def _to_user(found: re.Match[str]) -> str:
    whole, name = found.group(0), found.group(1)
    return whole if name.lower() in _NOBODY else whole[: -len(name)] + "USER"


def _without(text: str, names: Iterable[str], word: str, glue: str) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(r"(?<![%s])%s(?![%s])" % (glue, re.escape(name), glue), word, text)
    return text


def _users() -> Iterable[pwd.struct_passwd]:
    try:
        own = [pwd.getpwuid(os.getuid())]
    except KeyError:
        own = []
    return [*pwd.getpwall(), *own]
