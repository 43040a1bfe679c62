"""tokensep: music source separation by a language model over codec tokens.

After arXiv 2604.09371: a dual-path codec, a Conformer over the mixture, and a LLaMA-style decoder
that writes the tokens of vocals, drums, bass and other one after the other. From Python::

    from tokensep import TokenSep
    stems = TokenSep.from_checkpoint("mini").separate(audio, 44_100)  # {"vocals": [C, T], …}

The import of this package is fast; torch is imported when the first name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokensep.lm.config import InferenceConfig, SamplingConfig, TokenSepConfig
    from tokensep.separator import TokenSep

__all__ = ["InferenceConfig", "SamplingConfig", "TokenSep", "TokenSepConfig"]

_HOMES = {
    "InferenceConfig": "tokensep.lm.config",
    "SamplingConfig": "tokensep.lm.config",
    "TokenSepConfig": "tokensep.lm.config",
    "TokenSep": "tokensep.separator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tokensep' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
