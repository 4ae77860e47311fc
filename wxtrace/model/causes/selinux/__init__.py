"""SELinux: the permissions it asks for, what the policy answers, and which refusal that explains."""
