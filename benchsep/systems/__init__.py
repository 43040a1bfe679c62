"""Separation systems: contract, spec strings, calls, and the systems ``dir:`` and ``cmd:``."""
