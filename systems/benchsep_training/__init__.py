"""What every training in this repository shares: one loop and the parts of it.

The language model, the codec, hubert-mini (``tokensep.train``) and the small baselines
(``benchsep_baselines.train``) are trained by :class:`benchsep_training.loop.Loop`. It is a package
of its own because neither of the two packages may depend on the other, and because benchsep itself
trains nothing. It imports ``benchsep._util`` and ``benchsep.errors`` only.
"""
