"""The edges that touch processes: ptrace, seccomp, /proc. Only the tracer process imports this package."""
