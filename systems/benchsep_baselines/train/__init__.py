"""Training of the shipped mini checkpoints: ``python -m benchsep_baselines.train --help``."""
