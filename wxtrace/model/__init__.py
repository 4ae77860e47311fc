"""The pure core: calls, regions, address spaces, rules. Takes records, returns records, imports no edge."""
