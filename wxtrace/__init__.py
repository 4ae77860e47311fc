"""wxtrace: which memory-protection call was refused, by whom, and why."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
