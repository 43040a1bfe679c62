"""``audiobox``: Audiobox Aesthetics, a prediction of how good a recording sounds, without a
reference.

Conventions
-----------
rate       16 kHz; other rates are resampled (:meth:`benchsep.audio.Audio.resampled`)
channels   mono: the mean over channels
level      unchanged: the value depends on it
length     at least 25 ms (else ``too_short``); windows of 10 s. The weight of a padded last window
           is its share of signal
direction  higher is better, about 1 to 10; complexity has no better side
silence    a silent estimate has no value (``est_silent``); the reference is not used

Values
------
pq  production quality: clarity, dynamics, spatial impression (the axis for separation)
cu  content usefulness: suitability as material for new content
ce  content enjoyment
pc  production complexity: how many components a listener hears

The user supplies the weights: :data:`VARIABLE` names a file or folder; without it, the cache of the
Hugging Face hub is used. Values are always computed in float32; the official command may use half
precision and resamples with torchaudio.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.absent import package_absent, weights_absent
from benchsep._util.digest import digest
from benchsep._util.tensors import remembered_sha256
from benchsep.audio import STEMS
from benchsep.errors import Unavailable
from benchsep.metrics.audiobox.network import RATE, SHORTEST, weights_files
from benchsep.metrics.metric import Score, Tolerance, ValueTraits
from benchsep.metrics.stems import every, score_each

if TYPE_CHECKING:
    from benchsep.audio import Audio
    from benchsep.metrics.audiobox.network import Network
    from benchsep.metrics.metric import Channels, Domain, Question, References

VARIABLE = "BENCHSEP_AUDIOBOX_WEIGHTS"
HUB = "facebook/audiobox-aesthetics"
FILES = ("config.json", "model.safetensors")


def _value(
    name: str, display: str, direction: int, question: Question, alias: tuple[str, ...] = ()
) -> ValueTraits:
    return ValueTraits(
        name=name,
        direction=direction,
        unit="",
        low=None,
        high=None,
        digits=2,
        aggregate="mean",
        window_s=None,
        waveform_matching=False,
        # Its training ratings cover speech, music and sound.
        speech_model=False,
        display=display,
        question=question,
        companion=None,
        companion_rank=None,
        # A tenth of the step from the worst to the best system of gensvs_eval (PQ 5.89 to 7.02).
        tie_margin=0.11 if direction else None,
        failure=None,
        drift=Tolerance(
            0.02, 0.01, "float32 network; a fifth of the tie margin, not measured: no weights here"
        ),
        rank=35,
        overview=name == "pq",
        own_table=False,
        aliases=alias,
    )


class Audiobox:
    """The metric ``audiobox``: see the module."""

    name = "audiobox"
    known_as = ("Audiobox Aesthetics", "audiobox_aesthetics")
    needs_reference = False
    version = "2"
    values: tuple[ValueTraits, ...] = (
        _value("pq", "Audiobox PQ", +1, "quality", ("meta_audiobox_aes_PQ",)),
        _value("cu", "Audiobox CU", +1, "quality", ("meta_audiobox_aes_CU",)),
        _value("ce", "Audiobox CE", +1, "quality"),
        _value("pc", "Audiobox PC", 0, "other"),
    )
    default: int | None = None
    rate: int | None = RATE
    channels: Channels = "mono"
    domain: Domain = "any"
    default_stems: tuple[str, ...] = STEMS
    licence = "weights CC-BY 4.0, fetched by the user; their WavLM MIT"
    source = "Tjandra et al., Meta Audiobox Aesthetics, 2025 (arXiv 2502.05139)"

    def __init__(self, weights: str = "", *, device: str = "cpu") -> None:
        """``weights``: a file or folder; empty: :data:`VARIABLE`, then the hub's cache."""
        self._weights, self._device = weights, device
        self._network: Network | None = None
        self._loaded_from = ""

    def settings(self) -> dict[str, Any]:
        return {"weights": self._weights_id()}

    def _weights_id(self) -> str:
        """Hash of the named files, else the name of the published ones."""
        chosen = Path(self._chosen() or HUB)
        if not self._chosen() or not chosen.exists():
            return HUB
        hashes = [remembered_sha256(p) for p in weights_files(chosen) if p.is_file()]
        return (hashes[0] if len(hashes) == 1 else digest(hashes))[:16]

    def available(self) -> str:
        """Checks local files only; the first score may download weights."""
        if importlib.util.find_spec("transformers") is None:
            return package_absent("audiobox needs transformers: pip install 'benchsep[embeddings]'")
        if chosen := self._chosen():
            here = Path(chosen).exists()
            return "" if here else self._absent(f"{VARIABLE} names {chosen}, which is not there")
        if self._cached() is not None or not _offline():
            return ""
        return self._absent("the machine is offline (BENCHSEP_OFFLINE or HF_HUB_OFFLINE)")

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        return score_each(self, estimates, stems, self._score)

    def _score(self, estimate: Audio) -> dict[str, Score]:
        signal = estimate.samples[0]
        if len(signal) < SHORTEST:
            return every(self.values, "too_short")
        scores, shares = self._loaded()(np.asarray(signal, dtype=np.float32))
        return {
            axis.lower(): Score(float(np.average(found, weights=shares)), frames=tuple(found))
            for axis, found in scores.items()
        }

    def _loaded(self) -> Network:
        identity = self._weights_id()
        if self._network is None or self._loaded_from != identity:
            from benchsep.metrics.audiobox.network import Network, Published

            if reason := self.available():
                raise Unavailable(reason)
            try:
                self._network = Network(Published.read(self._path()), self._device)
            except (OSError, ValueError) as error:
                first = str(error).split("\n")[0][:200]
                raise Unavailable(self._absent(f"loading failed ({first})")) from error
            self._loaded_from = identity
        return self._network

    def _path(self) -> Path:
        """Path of the weights; they are downloaded from the hub if they are neither named nor in
        its cache.
        """
        if chosen := self._chosen():
            return Path(chosen)
        if (cached := self._cached()) is not None:
            return cached
        from huggingface_hub import hf_hub_download

        files = [hf_hub_download(HUB, name) for name in FILES]
        return Path(files[0]).parent

    def _chosen(self) -> str:
        return self._weights or os.environ.get(VARIABLE, "")

    def _cached(self) -> Path | None:
        """The folder of the hub's cache that holds both files."""
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(HUB, name) for name in FILES]
        paths = [Path(path) for path in found if isinstance(path, str)]
        return paths[0].parent if len(paths) == len(FILES) else None

    def _absent(self, reason: str) -> str:
        return weights_absent(
            f"no weights of {HUB}, {reason}: where there is a network, hf download {HUB}; or set "
            f"{VARIABLE} to checkpoint.pt"
        )


def _offline() -> bool:
    return bool(os.environ.get("BENCHSEP_OFFLINE") or os.environ.get("HF_HUB_OFFLINE"))
