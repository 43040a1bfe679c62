"""Distances between the embeddings of reference and estimate, for any embedding.

Conventions
-----------
embedding  a callable: mono signal ``[frames]`` at its own rate to rows ``[steps, dims]``, one per
           time step
channels   the mean over channels
direction  lower is better, 0 for identical signals
silence    silent reference: no value (``ref_silent``); a silent estimate has a value

Values
------
mse  mean squared difference of the rows, step by step (gensvs_eval's song-to-song MSE)
fad  Fréchet distance between Gaussians fitted to the rows of both signals (song-to-song FAD); it
     does not depend on the order in time

On the ratings of gensvs_eval (WASPAA 2025), both values with MERT or CLAP correlate better with
listeners than SDR, over generative and discriminative systems (|SRCC| .60 to .74; SDR .23).

Metrics
-------
emb-mert   MERT-v1-95M, layer 12, 24 kHz: needs ``transformers`` and its weights (CC BY-NC 4.0)
emb-clap   LAION CLAP for music, 48 kHz, windows of 10 s, hop 1 s: needs the same (Apache-2.0)
emb-voice  the 64 pooled activations of DNSMOS' P.835 network, 16 kHz, windows of 9 s, hop 1 s.
           Trained on speech; its weights are part of every installation

Your own: ``EmbeddingDistance(my_embedding)``, registered under ``benchsep.metrics``.

No downloaded code is run: MERT's weights are loaded into the Hubert class of ``transformers``,
which has the same architecture; a missing weight is an error. Only safetensors files are read.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from benchsep._util.absent import package_absent, weights_absent
from benchsep._util.tensors import folder_sha256
from benchsep.audio import STEMS
from benchsep.errors import MetricError, Unavailable
from benchsep.metrics.metric import Score, Tolerance, ValueTraits
from benchsep.metrics.stems import score_prepared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain, References

    Rows = NDArray[np.float64]


class Embedding(Protocol):
    """The interface that :class:`EmbeddingDistance` needs. The first call may load a model."""

    name: str
    rate: int
    shortest: int
    """Minimum length in samples."""
    domain: Domain
    licence: str
    source: str

    @property
    def identity(self) -> str:
        """Must change if a row may change (weights, layer, window); part of each cell's key."""

    def available(self) -> str: ...

    def __call__(self, signal: NDArray[np.float32]) -> Rows: ...


def mse(reference: Rows, estimate: Rows) -> float:
    """Mean squared difference of ``[steps, dims]`` rows; extra steps of the longer one are left
    out.

    Raises
    ------
    MetricError
        if the dimensions differ or there is no row.
    """
    _checked(reference, estimate)
    steps = min(len(reference), len(estimate))
    return float(np.square(reference[:steps] - estimate[:steps]).mean())


def frechet(reference: Rows, estimate: Rows) -> float:
    """Fréchet distance of two sets of rows ``[steps, dims]``, each taken as a Gaussian::

        |m1 - m2|² + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)

    With ``C = A Aᵀ`` the last trace is the nuclear norm of ``A1ᵀ A2``: exact for fewer rows
    than dimensions, where a matrix square root fails, and never complex.
    """
    _checked(reference, estimate)
    centred = [rows - rows.mean(0) for rows in (reference, estimate)]
    a, b = (rows / np.sqrt(max(1, len(rows) - 1)) for rows in centred)
    shift = float(np.square(reference.mean(0) - estimate.mean(0)).sum())
    spread = float(np.square(a).sum() + np.square(b).sum())
    shared = float(np.linalg.svd(a @ b.T, compute_uv=False).sum())
    return max(0.0, shift + spread - 2 * shared)


def _checked(reference: Rows, estimate: Rows) -> None:
    if not len(reference) or not len(estimate) or reference.shape[1:] != estimate.shape[1:]:
        raise MetricError(
            f"embeddings {reference.shape} and {estimate.shape}: expected rows of one dimension"
        )


def _traits(name: str, display: str, digits: int, rank: int | None) -> ValueTraits:
    """The traits that all embeddings share."""
    return ValueTraits(
        name=name,
        direction=-1,
        unit="",
        low=0.0,
        high=None,
        digits=digits,
        aggregate="mean",
        window_s=None,
        waveform_matching=False,
        # Not a speech model in the sense of this trait, whatever its training data: the value
        # compares with the reference, and the true stem scores 0.
        speech_model=False,
        display=display,
        question="quality",
        companion=None,
        companion_rank=None,
        tie_margin=None,
        failure=None,
        drift=None,
        rank=rank,
        overview=name == "mse",
        own_table=False,
        aliases=(),
    )


class EmbeddingDistance:
    """The metric ``emb-<name>`` over an :class:`Embedding`: see the module."""

    version = "2"
    default: int | None = None
    channels: Channels = "mono"

    def __init__(
        self,
        embedding: Embedding,
        *,
        rank: int | None = None,
        digits: tuple[int, int] = (4, 3),
        margins: tuple[float, float] | None = None,
        drift: tuple[Tolerance, Tolerance] | None = None,
        aliases: tuple[str, ...] = (),
    ) -> None:
        """``digits``, ``margins``, ``drift``, ``aliases``: traits of ``mse`` and ``fad``, in this
        order.
        """
        self.embedding = embedding
        mse = _traits("mse", "Embedding MSE", digits[0], rank)
        fad = _traits("fad", "Song-to-song FAD", digits[1], rank)
        self.values: tuple[ValueTraits, ...] = tuple(
            replace(
                traits,
                tie_margin=margins[i] if margins else None,
                drift=drift[i] if drift else None,
                aliases=aliases[i : i + 1],
            )
            for i, traits in enumerate((mse, fad))
        )
        self.name = f"emb-{embedding.name}"
        self.known_as = (embedding.name,)
        self.rate: int | None = embedding.rate
        self.domain: Domain = embedding.domain
        self.default_stems: tuple[str, ...] = ("vocals",) if embedding.domain == "speech" else STEMS
        self.licence = embedding.licence
        self.source = embedding.source

    def settings(self) -> dict[str, Any]:
        return {"embedding": self.embedding.identity}

    def available(self) -> str:
        return self.embedding.available()

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        def prepare(reference: Audio) -> tuple[str, Rows] | str:
            if reference.frames < self.embedding.shortest:
                return "too_short"
            return self.embedding.identity, self.embedding(reference.samples[0])

        def score(prepared: tuple[str, Rows], estimate: Audio) -> dict[str, Score]:
            identity, expected = prepared
            rows = self.embedding(estimate.samples[0])
            if identity != self.embedding.identity:
                raise MetricError(
                    f"the weights of {self.name} changed during the run; start it again"
                )
            return {"mse": Score(mse(expected, rows)), "fad": Score(frechet(expected, rows))}

        return score_prepared(self, references, estimates, stems, prepare, score)


class VoiceEmbedding:
    """Pooled activations of :func:`benchsep.metrics.dnsmos.network.dnsmos_embedding`."""

    name = "voice"
    rate = 16_000
    shortest = 320
    identity = "p835-269fbebdb513"
    domain: Domain = "speech"
    licence = "network CC BY 4.0 (microsoft/DNS-Challenge, through speechmos)"
    source = "activations before the dense layers of DNSMOS P.835"

    def available(self) -> str:
        from benchsep.metrics.dnsmos import DNSMOS

        return DNSMOS().available()

    def __call__(self, signal: NDArray[np.float32]) -> Rows:
        from benchsep.metrics.dnsmos.network import dnsmos_embedding

        return dnsmos_embedding(np.clip(signal, -1, 1))


class _Transformers:
    """Weights loaded with ``transformers``, from a folder, the hub's cache or the network."""

    name: str
    checkpoint: str

    def __init__(self, checkpoint: str = "", *, device: str = "cpu") -> None:
        self.checkpoint = checkpoint or self.checkpoint
        self._device = device
        self._loaded: Any = None
        self._loaded_from = ""

    @property
    def identity(self) -> str:
        """Name of the weights, with a hash of their files if they are in a folder; and settings."""
        return f"{self.checkpoint}{self._files()}:{self._setting()}"

    def _files(self) -> str:
        folder = Path(self.checkpoint)
        return f"-{folder_sha256(folder)[:16]}" if folder.is_dir() else ""

    def _setting(self) -> int:
        raise NotImplementedError

    def available(self) -> str:
        """Checks local files only; the first score may download weights."""
        if importlib.util.find_spec("transformers") is None:
            return package_absent(
                f"emb-{self.name} needs transformers: pip install 'benchsep[embeddings]'"
            )
        if self._cached() or not self._offline():
            return ""
        return self._absent("the machine is offline (BENCHSEP_OFFLINE or HF_HUB_OFFLINE)")

    def _absent(self, reason: str) -> str:
        return weights_absent(
            f"no {self.checkpoint}, {reason}: where there is a network, "
            f"hf download {self.checkpoint}"
        )

    def _cached(self) -> bool:
        if Path(self.checkpoint).is_dir():
            return True
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(self.checkpoint, "config.json"), str)

    @staticmethod
    def _offline() -> bool:
        return bool(os.environ.get("BENCHSEP_OFFLINE") or os.environ.get("HF_HUB_OFFLINE"))

    def _model(self) -> Any:
        files = self._files()
        if self._loaded is None or self._loaded_from != files:
            reason = self.available()
            if reason:
                raise Unavailable(reason)
            from transformers.utils import logging as quiet

            chatter: Any = quiet
            chatter.disable_progress_bar()  # the run has its own progress display
            try:
                self._loaded = self._load(local_files_only=self._offline() or self._cached())
            except (OSError, ValueError) as error:
                first = str(error).split("\n")[0][:200]
                raise Unavailable(self._absent(f"loading failed ({first})")) from error
            self._loaded_from = files
        return self._loaded

    def _load(self, *, local_files_only: bool) -> Any:
        raise NotImplementedError


class MertEmbedding(_Transformers):
    """MERT's hidden states of layer 12, 75 per second: ``[steps, 768]``."""

    name = "mert"
    checkpoint = "m-a-p/MERT-v1-95M"
    rate = 24_000
    shortest = 2400
    domain: Domain = "music"
    licence = "weights CC BY-NC 4.0, fetched by the user"
    source = "Li et al., MERT, ICLR 2024 (arXiv 2306.00107); layer as in gensvs_eval"

    def __init__(self, checkpoint: str = "", *, layer: int = 12, device: str = "cpu") -> None:
        super().__init__(checkpoint, device=device)
        self.layer = layer

    def _setting(self) -> int:
        return self.layer

    def _load(self, *, local_files_only: bool) -> Any:
        from transformers import HubertConfig, HubertModel

        raw, _ = HubertConfig.get_config_dict(self.checkpoint, local_files_only=local_files_only)
        unusual = [
            key
            for key, plain in (("deepnorm", False), ("feature_extractor_cqt", False))
            if raw.get(key, plain) != plain
        ]
        if unusual or raw.get("attention_relax", -1) > 0:
            raise ValueError(f"{', '.join(unusual) or 'attention_relax'}: not a plain Hubert")
        known = set(HubertConfig().to_dict()) - {"model_type", "architectures"}
        config = HubertConfig(**{key: value for key, value in raw.items() if key in known})
        loader: Any = HubertModel
        model, report = loader.from_pretrained(
            self.checkpoint,
            config=config,
            output_loading_info=True,
            local_files_only=local_files_only,
            use_safetensors=True,
        )
        lacking = [k for k in report["missing_keys"] if not k.endswith("masked_spec_embed")]
        if lacking:
            raise ValueError(f"{len(lacking)} weights are missing, e.g. {sorted(lacking)[0]}")
        return model.eval().to(self._device)

    def __call__(self, signal: NDArray[np.float32]) -> Rows:
        import torch

        model = self._model()
        # Its processor only normalises to zero mean and unit variance.
        scaled = (signal - signal.mean()) / np.sqrt(signal.var() + 1e-7)
        inputs = torch.from_numpy(np.asarray(scaled, dtype=np.float32))[None].to(self._device)
        with torch.no_grad():
            states = model(inputs, output_hidden_states=True).hidden_states
        if not -len(states) <= self.layer < len(states):
            raise MetricError(f"layer {self.layer} of a network with {len(states) - 1} layers")
        return np.asarray(states[self.layer][0].cpu().numpy(), dtype=np.float64)


class ClapEmbedding(_Transformers):
    """CLAP's audio embedding of 10 s windows with a hop of 1 s: ``[steps, 512]``."""

    name = "clap"
    checkpoint = "laion/larger_clap_music"
    rate = 48_000
    shortest = 4800
    domain: Domain = "music"
    licence = "weights Apache-2.0, fetched by the user"
    source = "Wu et al., LAION-CLAP, ICASSP 2023; windows as in fadtk"
    seconds = 10

    def _setting(self) -> int:
        return self.seconds

    def _load(self, *, local_files_only: bool) -> Any:
        from transformers import ClapFeatureExtractor, ClapModel

        loader: Any = ClapModel
        model = loader.from_pretrained(
            self.checkpoint, local_files_only=local_files_only, use_safetensors=True
        )
        features = ClapFeatureExtractor.from_pretrained(
            self.checkpoint, local_files_only=local_files_only
        )
        return model.eval().to(self._device), features

    def __call__(self, signal: NDArray[np.float32]) -> Rows:
        import torch

        model, features = self._model()
        last = max(0, len(signal) - self.seconds * self.rate)
        starts = range(0, last + 1, self.rate)
        windows = [signal[start : start + self.seconds * self.rate] for start in starts]
        rows = []
        for window in windows:
            inputs = features(window, sampling_rate=self.rate, return_tensors="pt")
            with torch.no_grad():
                found = model.get_audio_features(**inputs.to(self._device))
            rows.append(getattr(found, "pooler_output", found)[0].cpu().numpy())
        return np.asarray(rows, dtype=np.float64)


def voice() -> EmbeddingDistance:
    """The entry point ``emb-voice``."""
    return EmbeddingDistance(
        VoiceEmbedding(),
        rank=50,
        # A tenth of the step from the mixture (0.36; 23) to an ideal ratio mask (0.06; 4), 14 test
        # excerpts of MUSDB18.
        margins=(0.03, 1.9),
        drift=(
            Tolerance(0.005, 0.002, "moved by 8e-4 at -100 dB, 4e-3 at -80 dB"),
            Tolerance(0.3, 0.1, "moved by 0.05 at -100 dB, 0.22 at -80 dB"),
        ),
    )


_UNMEASURED = (
    "float32 network; a fifth of the tie margin, not measured: the weights are not shipped"
)


def mert() -> EmbeddingDistance:
    """The entry point ``emb-mert``."""
    return EmbeddingDistance(
        MertEmbedding(),
        rank=40,
        # A tenth of the step from the worst to the best system of gensvs_eval (MSE .123 to .076,
        # FAD 39 to 26), which is 1.25 points of listeners' opinion.
        margins=(0.005, 1.3),
        drift=(Tolerance(0.001, 5e-4, _UNMEASURED), Tolerance(0.25, 0.1, _UNMEASURED)),
        aliases=("emb_mse_mert_df", "fad_song2song_mert_df"),
    )


def clap() -> EmbeddingDistance:
    """The entry point ``emb-clap``."""
    return EmbeddingDistance(
        ClapEmbedding(),
        rank=30,
        digits=(6, 3),
        # As for MERT: MSE 7.4e-4 to 4.5e-4, FAD .40 to .25.
        margins=(3e-5, 0.015),
        drift=(Tolerance(6e-6, 3e-6, _UNMEASURED), Tolerance(0.003, 0.001, _UNMEASURED)),
        aliases=("emb_mse_clap_music_df", "fad_song2song_clap_music_df"),
    )
