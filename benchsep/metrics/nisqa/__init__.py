"""NISQA v2: a prediction of speech quality and four of its dimensions, without a reference.

Conventions
-----------
rate       48 kHz; other rates are resampled first (the mel front end depends on the rate, so a 16
           kHz signal would be a different input)
channels   mono: the mean over channels
length     at least 0.14 s (else ``too_short``). The network's limit is 52 s: longer songs are cut
           into equal windows of at most 52 s, and a value is the mean over the windows that are not
           digital silence
direction  higher is better, nominally 1 to 5 (the network is not bounded: 0.7 occurs)
silence    a silent estimate has no value (``est_silent``); the reference is not used

Values
------
mos   overall quality
noi   noisiness          dis   discontinuity
col   coloration         loud  loudness          (each: higher is better)

Weights
-------
They are CC BY-NC-SA 4.0 and therefore not part of benchsep. The search order is: the ``weights``
option, ``BENCHSEP_NISQA_WEIGHTS``, ``~/.torchmetrics/NISQA/nisqa.tar``, and one download per
process to this last path (never with ``BENCHSEP_OFFLINE`` set). The file must have the sha256 of
the NISQA repository's file. If a path is named explicitly and the file is missing or wrong, this is
an error; the search does not continue.

Trained on telephone and conference speech: on singing it distinguishes a mixture from vocals, but
not good from perfect estimates (true vocals of MUSDB18 score 2.2). Compare with the ``reference``
row.

Source: Mittag, Naderi, Chehadi, Möller, "NISQA: A Deep CNN-Self-Attention Model for
Multidimensional Speech Quality Prediction", Interspeech 2021; values of torchmetrics 1.9,
which are those of the original repository.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import threading
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchsep._util.absent import weights_absent
from benchsep.errors import AudioError, Unavailable
from benchsep.metrics.mel import Bank, mel_filters
from benchsep.metrics.metric import Score, Tolerance, ValueTraits
from benchsep.metrics.nisqa.network import Network
from benchsep.metrics.stems import every, score_each

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain, References

RATE = 48_000
SHA256 = "7ec4cf937514dd3f8860b21e66fabd8ca87a168572675ef8d979c4c4ad2e805c"
URL = "https://github.com/gabrielmittag/NISQA/raw/refs/heads/master/weights/nisqa.tar"
VARIABLE = "BENCHSEP_NISQA_WEIGHTS"
TIMEOUT = 5.0
"""Timeout of the download in seconds, short for machines without a network."""

OUTPUTS = ("mos", "noi", "dis", "col", "loud")
"""In the order of the network's outputs (papers list coloration before discontinuity)."""

FFT = 4096
FRAME = RATE // 50
HOP = RATE // 100
"""Samples per mel frame, and hop."""
SEGMENT, SEGMENT_HOP = 15, 4
"""Mel frames per segment (an input of the network), and hop between segments."""
BATCH = 128
"""Segments per batch: their activations fit into the cache."""
SHORTEST = 14 * HOP
"""Minimum length in samples: one segment has 15 mel frames; the first and last are centred on the
edges."""
LONGEST = 52 * RATE
"""Maximum length in samples: 1300 segments, one every 40 ms."""


def nisqa(signal: NDArray[np.float32], weights: str | Path) -> NDArray[np.float64]:
    """NISQA of every window of a mono signal.

    Parameters
    ----------
    signal
        float ``[frames]`` at 48 kHz, finite.
    weights
        Path of ``nisqa.tar``.

    Returns
    -------
    array
        ``[windows, 5]`` in the order of :data:`OUTPUTS`; one window up to 52 s. Windows of
        digital silence are left out.

    Raises
    ------
    AudioError
        if the signal is too short, silent, or not one-dimensional.
    Unavailable
        if the weights are missing or not those of NISQA v2.
    """
    import torch

    signal = np.asarray(signal, dtype=np.float32)
    if signal.ndim != 1 or len(signal) < SHORTEST:
        raise AudioError(
            f"shape {signal.shape}: expected a mono signal of {SHORTEST} samples or more"
        )
    model, bank = _model(Path(weights))
    with torch.inference_mode():
        rows = [
            _opinions(model, _mel_levels(window, bank)) for window in split(signal) if window.any()
        ]
    if not rows:
        raise AudioError("digital silence: NISQA has no value")
    return np.asarray(rows, dtype=np.float64)


def split(signal: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The fewest equal windows of at most 52 s (lengths differ by a sample at most)."""
    count = max(1, -(-len(signal) // LONGEST))
    edges = [round(k * len(signal) / count) for k in range(count + 1)]
    return [signal[a:b] for a, b in pairwise(edges)]


def _mel_levels(signal: NDArray[np.float32], bank: Bank) -> torch.Tensor:
    """Mel magnitudes in dB, ``[frames, 48]``, floored at -80 dB and at 80 dB under the peak.

    librosa's ``melspectrogram`` and ``amplitude_to_db`` as NISQA calls them: a Hann window of
    20 ms in the middle of 4096 samples, centred frames with reflected edges, magnitudes.
    """
    import torch

    from benchsep.metrics.spectra import banded

    margin = (FFT - FRAME) // 2
    padded = np.pad(signal, FFT // 2, mode="reflect")[margin:-margin]
    # The position of the zeros around the window only changes phases, so all are put after it.
    padded = np.concatenate([padded, np.zeros(FFT - FRAME, np.float32)])
    bands = torch.from_numpy(banded(padded, FFT, HOP, bank, root=True, width=FRAME))
    levels = 20 * torch.log10(bands.clamp(min=1e-4))
    return torch.maximum(levels, levels.max() - 80)


def _opinions(network: Network, levels: torch.Tensor) -> NDArray[np.float32]:
    """The five outputs of one window from its mel levels ``[frames, 48]``.

    A segment is 15 frames, with a hop of four frames. The features of each segment (nine tenths of
    the work) are independent of the others.
    """
    import torch

    segments = levels.unfold(0, SEGMENT, SEGMENT_HOP)[:, None]  # [segments, 1, 48, 15]
    # With channels-last memory, pooling is vectorised: half the time.
    batches = segments.contiguous(memory_format=torch.channels_last).split(BATCH)
    features = torch.cat([network.features(batch) for batch in batches])
    return np.asarray(network.opinions(features).numpy())


@lru_cache(maxsize=2)
def _model(path: Path) -> tuple[Network, Bank]:
    """The network, and its 48 mel filters."""
    import torch

    problem = _problem(path)
    if problem:
        raise Unavailable(problem)
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    filters = mel_filters(RATE, FFT, 48, top=20_000.0)
    network = Network(checkpoint["model_state_dict"])
    return network, Bank.of(filters)


def default_path() -> Path:
    """The path at which torchmetrics stores the weights."""
    return Path.home() / ".torchmetrics" / "NISQA" / "nisqa.tar"


def _fetch_command(path: Path) -> str:
    return f"curl -fL --create-dirs -o {shlex.quote(str(path))} {URL}"


def _problem(path: Path) -> str:
    """``""`` if ``path`` is NISQA's weights; else an error text with the command that helps."""
    if not path.is_file():
        return weights_absent(f"no NISQA at {path}: {_fetch_command(path)}")
    with path.open("rb") as handle:  # in blocks: a wrong file may be large
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != SHA256:
        return (
            f"{path} is not NISQA v2's nisqa.tar (sha256 {found[:12]}…, expected "
            f"{SHA256[:12]}…): {_fetch_command(path)}"
        )
    return ""


_lock = threading.Lock()
_attempt: list[str] = []
"""The result of this process's download, after the first attempt."""


def _download(target: Path) -> str:
    """Download at most once per process; returns ``""`` or an error text. The hash is checked, so
    an error page of a proxy is never stored.
    """
    with _lock:
        if not _attempt:
            _attempt.append(_download_once(target))
        return _attempt[0]


def _download_once(target: Path) -> str:
    import requests

    try:
        answer = requests.get(URL, timeout=TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        return weights_absent(f"NISQA's download failed ({type(error).__name__})")
    found = hashlib.sha256(answer.content).hexdigest()
    if found != SHA256:
        return weights_absent(f"NISQA's download has sha256 {found[:12]}…, not {SHA256[:12]}…")
    partial = target.with_name(f".nisqa.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(answer.content)
        partial.replace(target)
    except OSError as error:
        return f"NISQA's weights cannot be written to {target} ({error})"
    finally:
        partial.unlink(missing_ok=True)
    return ""


def _value(name: str) -> ValueTraits:
    return ValueTraits(
        name=name,
        direction=+1,
        unit="MOS",
        low=None,
        high=None,
        digits=2,
        aggregate="mean",
        window_s=None,
        waveform_matching=False,
        speech_model=True,
        display=f"NISQA {name.upper()}",
        question="quality",
        companion=None,
        companion_rank=None,
        # About half the width of the confidence interval of a listening test with 50 songs; a sixth
        # of the step from the mixture (MOS 0.93) to the true vocals (2.21).
        tie_margin=0.20,
        # True vocals score between 1 and 4, depending on the song, so no value counts as a failure.
        failure=None,
        drift=Tolerance(0.02, 0.01, "float32 network; CPU kernels differ"),
        rank=90,
        overview=name == "mos",
        own_table=False,
        aliases=(),
    )


def _from_environment() -> Path | None:
    variable = os.environ.get(VARIABLE)
    return Path(variable).expanduser() if variable else None


def _weights_state() -> dict[str, str]:
    """The line of ``benchsep doctor`` on the weights."""
    path = _from_environment() or default_path()
    absent = f"the first score tries to download them, or: {_fetch_command(path)}"
    return {"weights (CC BY-NC-SA 4.0)": "" if path.is_file() else absent}


class NISQA:
    """The metric ``nisqa``: see the module. ``weights`` names a file; by default it is searched
    for.
    """

    name = "nisqa"
    known_as = ("NISQA v2",)
    needs_reference = False
    version = "3"
    values: tuple[ValueTraits, ...] = tuple(map(_value, OUTPUTS))
    default: int | None = 7
    rate: int | None = RATE
    channels: Channels = "mono"
    domain: Domain = "speech"
    default_stems: tuple[str, ...] = ("vocals",)
    licence = "code Apache-2.0 and MIT; weights CC BY-NC-SA 4.0, supplied by the user"
    about: ClassVar[dict[str, Any]] = {"parts": _weights_state}
    source = "Mittag et al., NISQA, Interspeech 2021; values of torchmetrics 1.9"

    def __init__(self, weights: str | Path | None = None) -> None:
        self._weights = Path(weights) if weights else None

    def settings(self) -> dict[str, Any]:
        return {"weights": SHA256[:16]}

    def available(self) -> str:
        """Checks local files only; the first score may download the weights."""
        named = self._named()
        if named is not None:
            return _problem(named)
        target = default_path()
        if target.is_file() or os.environ.get("BENCHSEP_OFFLINE"):
            return _problem(target)
        return f"{_attempt[0]}: {_fetch_command(target)}" if _attempt and _attempt[0] else ""

    def resolved(self) -> Path:
        """The weights' path; downloads them if necessary.

        Raises
        ------
        Unavailable
            there are no weights; the message names the command that helps.
        """
        path = self._named() or default_path()
        reason = self.available()
        if not reason and not path.is_file():
            failure = _download(path)
            reason = f"{failure}: {_fetch_command(path)}" if failure else _problem(path)
        if reason:
            raise Unavailable(reason)
        return path

    def _named(self) -> Path | None:
        return self._weights or _from_environment()

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        try:
            path = self.resolved()
        except Unavailable as error:
            return {stem: every(self.values, f"unavailable: {error}") for stem in stems}
        return score_each(self, estimates, stems, lambda audio: self._score(audio, path))

    def _score(self, estimate: Audio, path: Path) -> dict[str, Score]:
        signal = estimate.samples[0]
        if len(signal) < SHORTEST:
            return every(self.values, "too_short")
        windows = nisqa(signal, path)
        return {
            name: Score(float(column.mean()), frames=tuple(map(float, column)))
            for name, column in zip(OUTPUTS, windows.T, strict=True)
        }
