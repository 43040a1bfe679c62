"""Separation systems: their contract, how they are named and called, and two that need no code."""
