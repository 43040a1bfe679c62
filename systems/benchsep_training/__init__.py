"""The common training loop of this repository and its parts.

The language model, the codec, hubert-mini (``tokensep.train``) and the small baselines
(``benchsep_baselines.train``) are trained by :class:`benchsep_training.loop.Loop`. It is a separate
package, because neither of the two packages may depend on the other, and benchsep itself has no
training. It imports ``benchsep._util`` and ``benchsep.errors`` only.
"""
