"""Baselines for benchsep: yardsticks, oracles, and wrappers of the public separators.

Each module is one family, registered under the entry-point group ``benchsep.systems`` as any
third party's would be. Nothing heavy is imported until a system is built.
"""
