"""The real programs that wxtrace is held against: how to run each, and what becomes of it under PR_SET_MDWE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

__all__ = ["FILES", "WINE_TOOL", "WORKLOADS", "Workload"]


@dataclass(frozen=True)
class Workload:
    """One program. `refused` is the call that MDWE refuses first, with the `aftermath`; None where nothing is refused.

    `own_tracer`: it wants to ptrace, which wxtrace's presence forbids, so its output differs.
    """

    name: str
    command: Tuple[str, ...]
    refused: Optional[str] = None
    aftermath: Optional[str] = None
    own_tracer: bool = False


_FIB_JS = "function f(n){return n<2?n:f(n-1)+f(n-2)};console.log(f(25))"
_CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--user-data-dir=profile",
    "--dump-dom",
    "page.html",
)
_PHP = ("php", "-d", "opcache.enable_cli=1", "-d", "opcache.jit_buffer_size=64M", "-d", "opcache.jit=tracing")
_RUBY = (
    "c=Class.new(Fiddle::Closure){def call;10;end}.new(Fiddle::TYPE_INT,[]);"
    "puts Fiddle::Function.new(c,[],Fiddle::TYPE_INT).call"
)
_PERL = 'my $f=FFI::Platypus->new(api=>2);$f->lib(undef);my $c=$f->closure(sub{42});print "ok\\n"'
_LOOP = "for i in 1 2 3 4 5 6 7 8 9 10; do for j in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done; done"

FILES: Dict[str, str] = {
    "page.html": "<html><body>hello</body></html>\n",
    "sum.lua": "local s=0 for i=1,1e7 do s=s+i%7 end print(s)\n",
    "callback.lua": (
        "local ffi=require'ffi'\n"
        "ffi.cdef'void qsort(void*,size_t,size_t,int(*)(const int*,const int*));'\n"
        "local a=ffi.new('int[3]',{3,1,2})\n"
        "local cb=ffi.cast('int(*)(const int*,const int*)',function(x,y) return x[0]-y[0] end)\n"
        "ffi.C.qsort(a,3,4,cb) print(a[0],a[1],a[2])\n"
    ),
    "fib.py": "def f(n): return n if n<2 else f(n-1)+f(n-2)\nprint(f(22))\n",
    "closure.py": (
        "import ctypes\n"
        "I=ctypes.c_int\nP=ctypes.POINTER(I)\n"
        "cb=ctypes.CFUNCTYPE(I,P,P)(lambda a,b:a[0]-b[0])\n"
        "arr=(I*3)(3,1,2)\nctypes.CDLL(None).qsort(arr,3,4,cb)\nprint(list(arr))\n"
    ),
    "fib.php": '<?php function f($n){return $n<2?$n:f($n-1)+f($n-2);} echo f(22),"\\n";\n',
    "F.java": (
        "public class F{static int f(int n){return n<2?n:f(n-1)+f(n-2);}"
        "public static void main(String[] a){System.out.println(f(25));}}\n"
    ),
    "empty.c": "int main(void){return 0;}\n",
}

WORKLOADS: Tuple[Workload, ...] = (
    Workload("node", ("node", "-e", _FIB_JS), "mprotect", "aborted"),
    Workload("java", ("java", "-cp", ".", "F"), "mprotect", "exited"),
    Workload("luajit", ("luajit", "sum.lua"), "mprotect", "exited"),
    Workload("luajit callback", ("luajit", "callback.lua"), "mprotect", "crashed"),
    Workload("php with JIT", (*_PHP, "fib.php"), "mprotect", "crashed"),
    Workload("pypy3", ("pypy3", "fib.py"), "mmap", "aborted"),
    Workload("qemu-user", ("qemu-x86_64", "/bin/true"), "mprotect", "exited"),
    Workload("valgrind", ("valgrind", "-q", "/bin/true"), "mmap", "exited"),
    Workload("grep -P", ("grep", "-P", "ro+t", "/etc/passwd"), "mmap", "continued"),
    Workload("python ctypes callback", ("/usr/bin/python3", "closure.py"), "mmap", "recovered"),
    Workload("ruby FFI", ("ruby", "-rfiddle", "-e", _RUBY), "mmap", "recovered"),
    Workload("perl FFI", ("perl", "-MFFI::Platypus", "-e", _PERL)),
    Workload("gcc", ("gcc", "-o", "empty", "empty.c")),
    Workload("sh with 100 forks", ("sh", "-c", _LOOP)),
    Workload("chromium", _CHROMIUM, "mprotect", "aborted"),
    Workload("gdb", ("gdb", "-q", "-batch", "-ex", "run", "/bin/true"), own_tracer=True),
    Workload("strace", ("strace", "-o", "strace.out", "/bin/true"), own_tracer=True),
)

WINE_TOOL = """\
#include <windows.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const unsigned char code[] = {0xb8, 0x34, 0x12, 0, 0, 0xc3};
    unsigned char *p = VirtualAlloc(0, 200704, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    DWORD old;
    BOOL ok;
    (void)argv;
    memcpy(p, code, sizeof code);
    ok = VirtualProtect(p, 200704, PAGE_EXECUTE_READ, &old);
    printf("VirtualProtect -> %d err=%lu\\n", ok, ok ? 0 : GetLastError());
    fflush(stdout);
    if (!ok && argc == 1)
        return 3;
    printf("call -> %#x\\n", ((int (*)(void))p)());
    return 0;
}
"""
