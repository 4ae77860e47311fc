"""The argument.* causes: a call that could never work, because its own arguments contradict the interface."""
