"""Training of the small checkpoints that ship: ``python -m benchsep_baselines.train --help``."""
