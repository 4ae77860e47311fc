"""seccomp filters that are not ours: what one answered, which it was, and who installed it."""
