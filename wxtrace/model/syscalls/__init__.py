"""The memory-shaping system calls, a file each call or family."""
