"""Baselines for benchsep: reference systems, oracles, and wrappers of public separators.

Each module is one family. All systems are registered under the entry-point group
``benchsep.systems``, in the same way as those of other packages. torch and models are imported only
when a system is loaded.
"""
