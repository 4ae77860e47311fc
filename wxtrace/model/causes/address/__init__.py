"""The address.* causes: the address range itself, and what lies there; a module each."""
