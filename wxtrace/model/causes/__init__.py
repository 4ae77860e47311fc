"""Why a call failed: one module a family of rules, and `decide` for their order."""
