"""DNSMOS: how a listener to speech would rate a signal, guessed without a reference.

Conventions
-----------
rate       16 kHz; other rates are resampled (:meth:`benchsep.audio.Audio.resampled`)
channels   mono: the mean over channels
level      untouched (the networks see absolute level); samples beyond [-1, 1] are clipped
           there, as writing the estimate to a 16-bit file would, where ``speechmos`` refuses
length     20 ms at least (``too_short``); a signal under 9.01 s is doubled until it is not
           shorter (``speechmos``)
direction  higher is better, 1 to 5
silence    a silent estimate has no value (``est_silent``); the reference is never looked at

Values
------
ovrl, sig, bak  P.835: overall, voice, background (network ``sig_bak_ovr``, quadratic map)
p808            P.808 overall opinion (network ``model_v8``)

Each is the mean over windows of 9.01 s, one a second. Two habits of ``speechmos`` 0.0.1.1
are kept, since they are part of its values: the number of windows is counted from whole
seconds, and a window whose rounded end falls one sample early is left out (a third of the
windows of a minute). ``docs/metrics/dnsmos.md`` has the parity table.

Both networks were made for telephone-like speech. On singing they tell a mixture from
vocals and not good from perfect: true vocals score about 2. Always read them beside the
``reference`` row.

Source: Reddy, Gopal, Cutler, "DNSMOS P.835", ICASSP 2022; the ONNX graphs shipped in the
``speechmos`` wheel, byte for byte those of microsoft/DNS-Challenge.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.errors import AudioError, Unavailable
from benchsep.metrics._p835 import shared_outputs, split_graph
from benchsep.metrics._stems import every, score_each
from benchsep.metrics.librosa_once import mel_filters
from benchsep.metrics.metric import Score, Tolerance, ValueTraits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics._stems import Channels
    from benchsep.metrics.metric import Domain, Question, References

RATE = 16_000
WINDOW_SECONDS = 9.01
WINDOW = int(WINDOW_SECONDS * RATE)
SHORTEST = 320
"""Samples of one frame of the P.835 network: less, repeated, is a tone and no recording."""

MEL_FRAME, MEL_HOP, MEL_BANDS = 321, 160, 120
MEL_FRAMES = 900
"""The P.808 network reads 900 frames: a window without its last 160 samples."""

GRAPHS = {
    "sig_bak_ovr": "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    "model_v8": "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
}
"""sha256 of the two graphs."""

POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""From the network's output to the opinion scale, highest power first (DNS-Challenge)."""


def window_starts(frames: int) -> list[int]:
    """First samples of the windows that ``speechmos`` keeps in ``frames`` samples at 16 kHz.

    A window runs from ``i * 16000`` to ``int((i + 9.01) * 16000)``. In binary floating point
    that end is one sample short for some ``i``, and those windows are dropped.
    """
    hops = int(np.floor(frames / RATE) - WINDOW_SECONDS) + 1
    ends = ((i * RATE, int((i + WINDOW_SECONDS) * RATE)) for i in range(hops))
    return [start for start, end in ends if min(end, frames) - start >= WINDOW]


def doubled(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """The signal repeated 1, 2, 4, … times until it fills a window."""
    repeats = 1
    while len(signal) * repeats < WINDOW:
        repeats *= 2
    return np.tile(signal, repeats) if repeats > 1 else signal


def dnsmos(signal: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """DNSMOS of every window of a mono signal.

    Parameters
    ----------
    signal
        float ``[frames]`` at 16 kHz, within [-1, 1].

    Returns
    -------
    dict
        ``ovrl``, ``sig``, ``bak``, ``p808``: ``[windows]`` each; their means are the scores.

    Raises
    ------
    AudioError
        if the signal is empty, not one-dimensional, or leaves [-1, 1] (NaN included).
    Unavailable
        if ``speechmos`` or ``onnxruntime`` is not installed.
    """
    signal = np.asarray(signal, dtype=np.float32)
    if signal.ndim != 1 or signal.size == 0:
        raise AudioError(f"shape {signal.shape}: expected a mono signal [frames] at 16 kHz")
    if not (np.abs(signal) <= 1).all():
        raise AudioError(
            f"samples up to {np.abs(signal).max():.3g}, expected within [-1, 1]; clip or scale them"
        )
    signal = doubled(signal)
    starts = window_starts(len(signal))
    # One window shares nothing, and sharing would recompute its edges.
    raw = (p835_outputs if len(starts) > 1 else p835_plainly)(signal, starts)
    found = {
        name: np.asarray(np.polyval(POLYNOMIALS[name], raw[:, column]), dtype=np.float64)
        for column, name in enumerate(("sig", "bak", "ovrl"))
    }
    found["p808"] = p808_outputs(signal, starts)
    return found


def p835_outputs(signal: NDArray[np.float32], starts: list[int]) -> NDArray[np.float64]:
    """The P.835 network on each window: ``[windows, 3]`` (sig, bak, ovrl before the polynomial).

    Windows share their activations (:mod:`benchsep.metrics._p835`), which is exact and about
    six times faster than :func:`p835_plainly`.
    """
    return shared_outputs(signal, starts, _session("lower"), _session("upper"))[0]


def p835_plainly(signal: NDArray[np.float32], starts: list[int]) -> NDArray[np.float64]:
    """The same by running the whole graph on every window, as ``speechmos`` does."""
    session = _session("sig_bak_ovr")
    rows = [
        session.run(None, {"input_1": signal[None, start : start + WINDOW]})[0][0]
        for start in starts
    ]
    return np.asarray(rows, dtype=np.float64)


def dnsmos_embedding(signal: NDArray[np.float32]) -> NDArray[np.float64]:
    """The P.835 network's 64 pooled activations for each window, ``[windows, 64]``.

    Takes what :func:`dnsmos` takes: an embedding of voice quality that every install has.
    """
    signal = doubled(np.asarray(signal, dtype=np.float32))
    starts = window_starts(len(signal))
    return shared_outputs(signal, starts, _session("lower"), _session("upper"))[1]


def p808_outputs(signal: NDArray[np.float32], starts: list[int]) -> NDArray[np.float64]:
    """The P.808 network on each window: ``[windows]``."""
    session = _session("model_v8")
    power = mel_power(signal)
    rows = []
    for start in starts:
        features = _decibels(_window_mel(signal, power, start))
        rows.append(session.run(None, {"input_1": features[None]})[0][0, 0])
    return np.asarray(rows, dtype=np.float64)


def mel_power(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel power of the whole signal, ``[frames, 120]``; frame k is centred on sample 160 k.

    Windows start on multiples of the hop, so all but their first and last frame are the
    whole signal's, and nine tenths of the work of separate windows is saved.
    """
    half = MEL_FRAME // 2
    padded = np.pad(signal, (half, half + 1))
    count = len(signal) // MEL_HOP + 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, MEL_FRAME)[::MEL_HOP][:count]
    # A thousand frames at a time keep the spectra of a long song out of memory.
    return np.concatenate([_mel(frames[k : k + 1000]) for k in range(0, len(frames), 1000)])


def _window_mel(
    signal: NDArray[np.float32], power: NDArray[np.float32], start: int
) -> NDArray[np.float32]:
    """Mel power of one window: the shared frames, with its two zero-padded edges its own."""
    first = start // MEL_HOP
    found = power[first : first + MEL_FRAMES].copy()
    half = MEL_FRAME // 2
    head = np.pad(signal[start : start + half + 1], (half, 0))
    used = WINDOW - MEL_HOP
    tail = np.pad(signal[start + used - MEL_FRAME + 1 : start + used], (0, 1))
    found[[0, -1]] = _mel(np.stack([head, tail]))
    return found


def _mel(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel power ``[n, 120]`` of raw frames ``[n, 321]``."""
    from scipy.fft import rfft

    window, filters = _mel_constants()
    spectrum = rfft(frames * window, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(power @ filters, dtype=np.float32)


@lru_cache(maxsize=1)
def _mel_constants() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The periodic Hann window and librosa's Slaney filters, ``[321]`` and ``[161, 120]``."""
    # 120 bands over 161 bins: some low bands hold no bin. It was so in training too.
    filters = mel_filters(RATE, MEL_FRAME, MEL_BANDS)
    phase = 2 * np.pi * np.arange(MEL_FRAME) / MEL_FRAME
    window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    return window, np.ascontiguousarray(filters.T, dtype=np.float32)


def _decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decibels below the window's peak, floored at 80 below it, mapped to [-1, 1]."""
    floor = np.float32(1e-10)
    level = 10 * np.log10(np.maximum(power, floor)) - 10 * np.log10(max(power.max(), floor))
    return np.asarray((np.maximum(level, level.max() - 80) + 40) / 40, dtype=np.float32)


def graph_path(name: str) -> Path:
    """Where a graph lies in the installed ``speechmos`` package, which is not imported.

    Raises
    ------
    Unavailable
        if the package is not installed, or the file is not the one that these values mean.
    """
    spec = importlib.util.find_spec("speechmos")
    if spec is None or spec.origin is None:
        raise Unavailable("the DNSMOS networks come with speechmos: pip install speechmos==0.0.1.1")
    path = Path(spec.origin).parent / "dnsmos_models" / f"{name}.onnx"
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != GRAPHS[name]:
        raise Unavailable(
            f"{path}: found {found[:12]}, expected sha256 {GRAPHS[name][:12]}…: "
            "pip install --force-reinstall --no-deps speechmos==0.0.1.1"
        )
    return path


_lock = threading.Lock()
_sessions: dict[str, Any] = {}


def _session(name: str) -> Any:
    """One single-threaded session per graph and process: cores are used by whole tracks.

    ``lower`` and ``upper`` are the two parts of ``sig_bak_ovr``.
    """
    with _lock:
        if name not in _sessions:
            if name in ("lower", "upper"):
                parts = split_graph(graph_path("sig_bak_ovr").read_bytes())
                _sessions["lower"], _sessions["upper"] = map(_open, parts)
            else:
                _sessions[name] = _open(graph_path(name).read_bytes())
        return _sessions[name]


def _open(model: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable("DNSMOS runs on onnxruntime: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _value(name: str, display: str, question: Question) -> ValueTraits:
    return ValueTraits(
        name=name,
        direction=+1,
        unit="MOS",
        low=1.0,
        high=5.0,
        digits=2,
        aggregate="mean",
        window_s=None,
        waveform_matching=False,
        speech_model=True,
        display=display,
        question=question,
        companion=None,
        companion_rank=None,
        # A tenth of the step from the mixture (OVRL 1.10) to the true vocals (2.15).
        tie_margin=0.10,
        # The true vocals of a song score anything from 1.1 to 3: no value is a failure.
        failure=None,
        drift=Tolerance(0.02, 0.01, "float32 network; CPU kernels differ"),
        rank=80,
        overview=name == "ovrl",
        own_table=False,
        aliases=(),
    )


class DNSMOS:
    """The metric ``dnsmos``: see the module."""

    name = "dnsmos"
    version = "1"
    values: tuple[ValueTraits, ...] = (
        _value("ovrl", "DNSMOS OVRL", "quality"),
        _value("sig", "DNSMOS SIG", "quality"),
        _value("bak", "DNSMOS BAK", "interference"),  # P.835: how intrusive is the background?
        _value("p808", "DNSMOS P.808", "quality"),
    )
    default: int | None = 6
    needs_reference = False
    rate: int | None = RATE
    channels: Channels = "mono"
    domain: Domain = "speech"
    default_stems: tuple[str, ...] = ("vocals",)
    licence = "code MIT, networks CC BY 4.0 (microsoft/DNS-Challenge, through speechmos)"
    source = "Reddy et al., DNSMOS P.835, ICASSP 2022; values of speechmos 0.0.1.1"
    silence = "a silent estimate has no value (est_silent); the reference is not used"

    def settings(self) -> dict[str, Any]:
        return {"graphs": {name: sha[:16] for name, sha in GRAPHS.items()}}

    def available(self) -> str:
        if importlib.util.find_spec("onnxruntime") is None:
            return "DNSMOS runs on onnxruntime: pip install onnxruntime"
        try:
            for name in GRAPHS:
                graph_path(name)
        except Unavailable as error:
            return str(error)
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        return score_each(self.values, estimates, stems, self._score)

    def _score(self, estimate: Audio) -> dict[str, Score]:
        signal = np.clip(estimate.mono().resampled(RATE).samples[0], -1, 1)
        if len(signal) < SHORTEST:
            return every(self.values, "too_short")
        if not signal.any():
            return every(self.values, "est_silent")
        try:
            found = dnsmos(signal)
        except Unavailable as error:
            return every(self.values, f"unavailable: {error}")
        return {
            name: Score(float(windows.mean()), frames=tuple(map(float, windows)))
            for name, windows in found.items()
        }
