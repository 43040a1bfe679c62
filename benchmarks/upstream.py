"""The packages whose values benchsep has, called as their own users call them.

One place, so that the parity tables and the timings speak of the same calls. Every function takes
float32 ``[channels, frames]`` arrays at 44.1 kHz as the datasets give them (or mono signals, where
it says so) and does what the package needs: resampling and downmixing are part of the user's
work, so they are part of the time.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

RATE = 44_100
STEMS = ("vocals", "drums", "bass", "other")
Stems = dict[str, np.ndarray]

THREADS = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
}
"""The environment of a process that is measured: one thread."""


def mono(samples: np.ndarray, rate: int) -> np.ndarray:
    """The mean over channels at another rate (soxr HQ, which benchsep uses too)."""
    import soxr

    return soxr.resample(samples.mean(0, dtype=np.float32), RATE, rate, quality="HQ")


def museval(truth: Stems, heard: Stems) -> dict[str, np.ndarray]:
    """BSSEval v4, ``[4, windows]`` a stem: SDR, ISR, SIR, SAR."""
    from museval.metrics import bss_eval

    stacked = (np.stack([side[s].T for s in truth]).astype(np.float64) for side in (truth, heard))
    found = np.stack(bss_eval(*stacked, window=RATE, hop=RATE)[:4])
    return {s: found[:, i] for i, s in enumerate(truth)}


@cache
def _visqol_manager() -> Any:
    import visqol
    from visqol.visqol_manager import VisqolManager

    manager = VisqolManager()
    manager.init(str(Path(visqol.__file__).parent / "model" / "libsvm_nu_svr_model.txt"))
    return manager


def visqol(truth: np.ndarray, heard: np.ndarray) -> float:
    """visqol-python in audio mode, on mono signals at 48 kHz."""
    from visqol.audio_utils import AudioSignal

    signals = (AudioSignal(x.astype(np.float64), 48_000) for x in (truth, heard))
    return float(_visqol_manager().run_from_signals(*signals).moslqo)


@cache
def _single_threaded_speechmos() -> Any:
    import onnxruntime
    import speechmos.dnsmos as theirs

    def session(path: str) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(path, options)

    theirs.ort = type("ort", (), {"InferenceSession": staticmethod(session)})
    return theirs


def speechmos(heard: np.ndarray) -> dict[str, float]:
    """``ovrl``, ``sig``, ``bak``, ``p808`` of a mono signal at 16 kHz."""
    found = _single_threaded_speechmos().run(np.clip(heard, -1, 1), 16_000)
    return {name: float(found[f"{name}_mos"]) for name in ("ovrl", "sig", "bak", "p808")}


@cache
def _torchmetrics_nisqa(weights: str) -> Callable[..., Any]:
    from torchmetrics.functional.audio import nisqa as theirs

    folder = tempfile.mkdtemp(prefix="nisqa-")
    (Path(folder) / "nisqa.tar").symlink_to(Path(weights).resolve())
    theirs.NISQA_DIR = folder
    return theirs.non_intrusive_speech_quality_assessment


def nisqa_weights() -> str:
    """Where NISQA's weights lie, or an empty string."""
    beside = Path(__file__).resolve().parents[2] / "shared/data/weights/nisqa/nisqa.tar"
    path = Path(os.environ.get("BENCHSEP_NISQA_WEIGHTS", beside))
    return str(path) if path.is_file() else ""


def nisqa(heard: np.ndarray, weights: str) -> np.ndarray:
    """MOS, NOI, DIS, COL, LOUD of a mono signal at 48 kHz.

    torchmetrics takes 52 s at most; a song is cut into equal windows, as its user has to.
    """
    import torch

    call = _torchmetrics_nisqa(weights)
    pieces = np.array_split(heard, -(-len(heard) // (52 * 48_000)))
    return np.mean([call(torch.from_numpy(p.copy()), 48_000).numpy() for p in pieces], axis=0)


def sisdr(truth: np.ndarray, heard: np.ndarray) -> float:
    """torchmetrics' SI-SDR, all channels as one vector."""
    import torch
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    target, estimate = (torch.from_numpy(x.ravel()).double() for x in (truth, heard))
    return float(scale_invariant_signal_distortion_ratio(estimate, target))


def usdr(truth: np.ndarray, heard: np.ndarray) -> float:
    """torchmetrics' SNR, all channels as one vector: uSDR without its delta of 1e-7."""
    import torch
    from torchmetrics.functional.audio import signal_noise_ratio

    target, estimate = (torch.from_numpy(x.ravel()).double() for x in (truth, heard))
    return float(signal_noise_ratio(estimate, target))


@cache
def _auraloss() -> Any:
    from auraloss.freq import MultiResolutionSTFTLoss

    sizes = [256, 512, 1024, 2048, 4096]
    return MultiResolutionSTFTLoss(
        fft_sizes=sizes,
        win_lengths=sizes,
        hop_sizes=[size // 4 for size in sizes],
        sample_rate=RATE,
        perceptual_weighting=True,
    )


def auraloss(truth: np.ndarray, heard: np.ndarray) -> float:
    """Multi-resolution STFT distance, mean over channels (as gensvs_eval has it)."""
    import torch

    pairs = zip(truth, heard, strict=True)
    return float(
        np.mean([float(_auraloss()(*(torch.from_numpy(x)[None, None] for x in p[::-1])))
                 for p in pairs])
    )  # fmt: skip


def msst_bleedless(truth: np.ndarray, heard: np.ndarray) -> list[float]:
    """Bleedless and fullness: the published formula, evaluated plainly with librosa and torch.

    Its source, Music-Source-Separation-Training, is no package; this is its definition in our
    words: levels in dB of a 512-band mel spectrogram, the mean excess and the mean lack.
    """
    import torch

    from benchsep.metrics.mel import mel_filters

    mel = torch.from_numpy(mel_filters(RATE, 4096, 512))
    window = torch.hann_window(4096)
    levels = []
    for samples in (truth, heard):
        spectrum = torch.stft(
            torch.from_numpy(samples),
            4096,
            1024,
            window=window,
            return_complex=True,
            pad_mode="constant",
        )
        level = 20 * torch.log10((mel @ spectrum.abs()).clamp(min=1e-10))
        levels.append(torch.maximum(level, level.max() - 80))
    difference = levels[1] - levels[0]
    excess, lack = difference[difference > 0], -difference[difference < 0]
    return [100 / (1 + (float(p.mean()) if p.numel() else 0.0)) for p in (excess, lack)]


# -- measuring -------------------------------------------------------------------------------------


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and CPU seconds of this process and of the child processes that it keeps."""
    start = time.process_time() + _children_seconds()
    result = call()
    return result, time.process_time() + _children_seconds() - start


def _children_seconds() -> float:
    """CPU seconds of running child processes, as zimtohrli's is; 0 without ``/proc``."""
    ticks = 0
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            fields = "".join(_lines(f"/proc/{child}/stat")).rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:13]))  # utime and stime, fields 14 and 15 of stat
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_megabytes() -> float:
    """Peak resident memory of this process.

    From ``VmHWM`` where there is one: ``ru_maxrss`` of a child begins with its parent's memory.
    """
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> str:
    """Processor, cores and versions, for a report: no address, no name."""
    import platform
    from importlib.metadata import version

    names = {
        line.split(":")[1].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    }
    packages = ", ".join(f"{p} {version(p)}" for p in ("numpy", "scipy", "numba", "torch"))
    processor = ", ".join(sorted(names)) or platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores {processor}, Python {platform.python_version()}, {packages}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
