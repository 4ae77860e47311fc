"""limit.*: a limit of the process, of the machine or of memory itself was reached. The numbers are the evidence."""
