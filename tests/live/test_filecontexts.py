"""Asking libselinux for the label of a path: a library of our own in its place, and none at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from wxtrace.live.filecontexts import NO_LABEL, file_context

LIBRARY = r"""
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
static int (*complain)(int, const char *, ...);
void selinux_set_callback(int kind, int (*log)(int, const char *, ...)) { if (kind == 0) complain = log; }
void *selabel_open(unsigned backend, const void *options, unsigned count)
{ complain(1, "%s: line %u has an invalid context", "file_contexts", 7);
  return backend == 0 && count == 0 ? "h" : NULL; }
int selabel_lookup_raw(void *handle, char **context, const char *path, int mode)
{ if (!handle || !S_ISREG(mode) || strncmp(path, "/usr/", 5)) return -1;
  *context = strdup("system_u:object_r:usr_t:s0"); return 0; }
void freecon(char *context) { free(context); }
"""


@pytest.fixture
def library(tmp_path: Path) -> str:
    source, built = tmp_path / "selinux.c", tmp_path / "libselinux.so"
    source.write_text(LIBRARY)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(built), str(source)], check=True)
    return str(built)


def test_the_label_of_a_path(library: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert file_context("/usr/lib/a.so", library) == "system_u:object_r:usr_t:s0"
    assert file_context("/mnt/a.so", library) == NO_LABEL
    assert capfd.readouterr() == ("", "")


def test_where_there_is_no_such_library(tmp_path: Path) -> None:
    assert file_context("/usr/lib/a.so", str(tmp_path / "none.so")) is None
