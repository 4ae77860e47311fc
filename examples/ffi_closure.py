#!/usr/bin/env python3
"""Sort a list with C's qsort and a comparison written in Python.

ctypes wraps the comparison in a libffi closure, a small piece of code made at
run time. libffi asks for memory that is writable and executable; if it gets
none, it maps a memfd or a temporary file twice. (Built with static trampolines
it needs neither.)

Refused by: MDWE, SELinux (execmem), a seccomp filter: the first attempt only.
The program notices nothing unless every attempt fails.
"""

import ctypes
import sys

Comparison = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))


def main() -> int:
    try:
        ascending = Comparison(lambda a, b: a[0] - b[0])
    except MemoryError as error:
        print(f"closure: {error or 'MemoryError'}")
        return 1
    print("closure: ok")

    numbers = (ctypes.c_int * 5)(30, 10, 50, 20, 40)
    ctypes.CDLL(None).qsort(numbers, len(numbers), ctypes.sizeof(ctypes.c_int), ascending)
    print("sorted:", *numbers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
