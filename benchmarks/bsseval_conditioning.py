"""Why ISR, SIR and SAR on MUSDB18's AAC edition depend on how the file was decoded.

    python -m benchmarks.bsseval_conditioning FOLDER [--tracks 2] [--museval]

``FOLDER`` holds ``.stem.mp4`` files (the test split of the 7-second edition). For each excerpt
the same estimates (ideal ratio masks) are scored against the same stems three times: as the
decoder gives them (float), rounded to 16 bit, and float with white noise of rms 1e-4. SDR does
not move; what needs a projection does, with the condition of the Gram matrix. ``--museval`` adds
museval's own values (needs ffmpeg on PATH, about 10 CPU-seconds a row).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchsep.audio import STEMS, Audio, round_to_16_bit
from benchsep.datasets.musdb import STREAMS
from benchsep.metrics.bsseval import BSSEval, basis_of
from benchsep.metrics.metric import References

VALUES = ("sdr", "isr", "sir", "sar")
Samples = np.ndarray


def decode(path: Path) -> tuple[dict[str, Samples], int]:
    """Stems as the AAC decoder gives them: float, not rounded, unlike benchsep's datasets."""
    import av

    with av.open(str(path)) as container:
        streams = container.streams.audio[: len(STREAMS)]
        parts: dict[int, list[Samples]] = {s.index: [] for s in streams}
        for packet in container.demux(*streams):
            parts[packet.stream.index] += [f.to_ndarray() for f in packet.decode()]
        whole = {
            name: np.concatenate(parts[s.index], axis=1).astype("f4")
            for name, s in zip(STREAMS, streams, strict=True)
        }
        return {s: whole[s] for s in STEMS}, int(streams[0].rate)


def ratio_masks(stems: dict[str, Samples]) -> dict[str, Samples]:
    """Estimates of a strong separator: the mixture times each stem's share of the magnitudes."""
    from scipy.signal import istft, stft

    spectra = {s: stft(x, nperseg=4096, noverlap=3072)[2] for s, x in stems.items()}
    mixture = sum(spectra.values())
    total = sum(np.abs(x) for x in spectra.values()) + 1e-10
    frames = next(iter(stems.values())).shape[1]
    return {
        s: istft(mixture * np.abs(x) / total, nperseg=4096, noverlap=3072)[1][:, :frames].astype(
            "f4"
        )
        for s, x in spectra.items()
    }


def variants(stems: dict[str, Samples]) -> dict[str, dict[str, Samples]]:
    rng = np.random.default_rng(0)
    white = {s: 1e-4 * rng.standard_normal(x.shape) for s, x in stems.items()}
    return {
        "float": stems,
        "16 bit": {s: round_to_16_bit(x) for s, x in stems.items()},
        "float + noise 1e-4": {s: (x + white[s]).astype("f4") for s, x in stems.items()},
    }


def museval_values(stems: dict[str, Samples], estimates: dict[str, Samples], rate: int) -> Samples:
    """``[4, stems]`` medians over frames."""
    from museval.metrics import bss_eval

    truth = np.stack([stems[s].T for s in STEMS]).astype(np.float64)
    heard = np.stack([estimates[s].T for s in STEMS]).astype(np.float64)
    return np.nanmedian(np.stack(bss_eval(truth, heard, window=rate, hop=rate)[:4]), axis=2)


def report(path: Path, with_museval: bool) -> None:
    stems, rate = decode(path)
    estimates = ratio_masks(stems)
    print(f"\n**{path.name.removesuffix('.stem.mp4')}** ({', '.join(STEMS)})\n")
    print("| references | by | condition | SDR | ISR | SIR | SAR | status |")
    print("|---|---|---|---|---|---|---|---|")
    for name, truth in variants(stems).items():
        references = References({s: Audio(x, rate) for s, x in truth.items()})
        scores = BSSEval().score_track(
            references, {s: Audio(x, rate) for s, x in estimates.items()}, STEMS
        )
        columns = [" ".join(f"{scores[s][v].value:.1f}" for s in STEMS) for v in VALUES]
        basis = basis_of(references)
        assert basis is not None
        statuses = sorted({scores[s]["sir"].status for s in STEMS})
        print(
            f"| {name} | benchsep | {basis.span.whole.condition:.0e} ({basis.span.whole.kind}) | "
            + " | ".join(columns)
            + f" | {', '.join(statuses)} |",
            flush=True,
        )
        if with_museval:
            medians = museval_values(truth, estimates, rate)
            columns = [" ".join(f"{x:.1f}" for x in row) for row in medians]
            print(f"| {name} | museval | | " + " | ".join(columns) + " | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tracks", type=int, default=2)
    parser.add_argument("--museval", action="store_true")
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.stem.mp4"))[: options.tracks]
    if not paths:
        raise SystemExit(f"{options.folder} holds no .stem.mp4")
    for path in paths:
        report(path, options.museval)


if __name__ == "__main__":
    main()
