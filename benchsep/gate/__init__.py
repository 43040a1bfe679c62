"""The drift gate: a baseline of cells, tolerances, and the check of a new run against it."""
