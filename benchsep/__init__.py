"""Benchmark generative and discriminative music separators on one table."""

__version__ = "0.1.0"
