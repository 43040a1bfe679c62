"""Notes of a run on its estimates, songs, draws and versions of metrics.

Each module detects one kind of problem that a reader must know before using the values, and
describes it in a sentence. No module changes a value.
"""
