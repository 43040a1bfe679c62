"""Every metric against the package whose values it has, on real audio: ``docs/metrics/parity.md``.

    python -m benchmarks.parity [--data FOLDER] [--excerpts 4] [-o docs/metrics/parity.md]
    python -m benchmarks.parity --data FOLDER --excerpts 12 --only visqol

Audio: the clip that ``stempeg`` ships and, where ``FOLDER`` holds ``.stem.mp4`` files, so many of
them, cut to ``--seconds``. Estimates are those of real systems in turn (:data:`SYSTEMS`) and the
true stems with bleed and noise. A line says how far benchsep's values are from upstream's: mean and
largest absolute difference over all pairs, and the tolerance that ``tests/metrics/test_parity.py``
holds them to. Needs ``pip install 'benchsep[parity]'`` and ffmpeg; NISQA's weights for NISQA.
Exit code 1 when a value is beyond its tolerance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import upstream
from benchmarks.upstream import RATE, STEMS

SYSTEMS = ("htdemucs:checkpoint=mini", "oracle-irm", "", "bs_roformer:checkpoint=mini")
"""In turn; the empty one is bleed and noise."""
GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"

Pairs = Iterator[tuple[str, float, float]]
"""Name of a value, benchsep's, upstream's."""


@dataclass(frozen=True)
class Song:
    """Real stems and estimates of them, ``[2, frames]`` float32 at 44.1 kHz."""

    name: str
    truth: upstream.Stems
    heard: upstream.Stems


@dataclass(frozen=True)
class Check:
    """One upstream: ``pairs(song)`` yields values of both sides; tolerance and unit by value."""

    upstream: str
    pairs: Callable[[Song], Pairs]
    tolerance: dict[str, tuple[float, str]]
    """Value (or its beginning) to the largest difference allowed, and its unit."""
    available: Callable[[], str] = lambda: ""
    """Why it cannot run here; empty when it can."""


@dataclass
class Row:
    """A line of the table."""

    value: str
    upstream: str
    unit: str
    tolerance: float
    gaps: list[float] = field(default_factory=list)

    @property
    def largest(self) -> float:
        return max(self.gaps)

    @property
    def within(self) -> bool:
        return bool(self.gaps) and self.largest <= self.tolerance


# -- both sides -----------------------------------------------------------------------------------


def bsseval(song: Song) -> Pairs:
    """Every one-second frame of every stem."""
    from benchsep.audio import Audio
    from benchsep.metrics.bsseval import basis_of
    from benchsep.metrics.bsseval.engine import frame_scores
    from benchsep.metrics.metric import References

    ours = frame_scores(
        basis_of(References({s: Audio(x, RATE) for s, x in song.truth.items()})), song.heard
    )
    theirs = upstream.museval(song.truth, song.heard)
    for stem in song.truth:
        for row, name in enumerate(("sdr", "isr", "sir", "sar")):
            for a, b in zip(ours[stem][row], theirs[stem][row], strict=True):
                if not (np.isnan(a) and np.isnan(b)):
                    yield f"bsseval.{name}", float(a), float(b)


def visqol(song: Song) -> Pairs:
    """With upstream's envelope, which is all that differs, and with Google's."""
    from benchsep.metrics.visqol.alignment import GOOGLE, HILBERT
    from benchsep.metrics.visqol.engine import Reference

    for stem in song.truth:
        pair = [upstream.mono(side[stem], 48_000) for side in (song.truth, song.heard)]
        theirs = upstream.visqol(*pair)
        for name, envelope in (("visqol, Hilbert envelope", HILBERT), ("visqol", GOOGLE)):
            yield name, Reference(pair[0], envelope).compare(pair[1]).score, theirs


def dnsmos(song: Song) -> Pairs:
    from benchsep.metrics.dnsmos.network import dnsmos as ours

    signal = np.clip(upstream.mono(song.heard["vocals"], 16_000), -1, 1)
    found, theirs = ours(signal), upstream.speechmos(signal)
    for name, value in theirs.items():
        yield f"dnsmos.{name}", float(found[name].mean()), value


def nisqa(song: Song) -> Pairs:
    from benchsep.metrics.nisqa import OUTPUTS
    from benchsep.metrics.nisqa import nisqa as ours

    signal, weights = upstream.mono(song.heard["vocals"], 48_000), upstream.nisqa_weights()
    found, theirs = ours(signal, weights).mean(0), upstream.nisqa(signal, weights)
    for name, a, b in zip(OUTPUTS, found, theirs, strict=True):
        yield f"nisqa.{name}", float(a), float(b)


def no_nisqa_weights() -> str:
    return "" if upstream.nisqa_weights() else "no weights: set BENCHSEP_NISQA_WEIGHTS"


def ratios(song: Song) -> Pairs:
    from benchsep.metrics.sdr import sisdr

    for stem, truth in song.truth.items():
        heard = song.heard[stem]
        yield "sisdr", sisdr(truth, heard), upstream.sisdr(truth, heard)


def challenge(song: Song) -> Pairs:
    from benchsep.metrics.sdr import usdr

    for stem, truth in song.truth.items():
        heard = song.heard[stem]
        yield "usdr", usdr(truth, heard), upstream.usdr(truth, heard)


def spectral(song: Song) -> Pairs:
    from benchsep.metrics.spectral import mrstft

    for stem, truth in song.truth.items():
        heard = song.heard[stem]
        ours = np.mean([mrstft(a, b, RATE) for a, b in zip(truth, heard, strict=True)])
        yield "mrstft", float(ours), upstream.auraloss(truth, heard)


def bleedless(song: Song) -> Pairs:
    from benchsep.metrics.leakage import bleedless_fullness

    for stem, truth in song.truth.items():
        heard = song.heard[stem]
        pair = zip(
            ("bleedless.bleedless", "bleedless.fullness"),
            bleedless_fullness(truth, heard, RATE),
            upstream.msst_bleedless(truth, heard),
            strict=True,
        )
        yield from ((name, float(a), b) for name, a, b in pair)


def onsets(song: Song) -> Pairs:
    """The matching; both lists of onsets are benchsep's."""
    from mir_eval.onset import f_measure as theirs

    from benchsep.metrics.onsets import TOLERANCE, detect, f_measure, match

    lists = [detect(side["drums"].mean(0).astype(float), RATE) for side in (song.truth, song.heard)]
    found = f_measure(len(match(*lists)), *map(len, lists))
    expected = theirs(*lists, window=TOLERANCE)
    for name, a, b in zip(("f1", "precision", "recall"), found, expected, strict=True):
        yield f"onsets.{name}", float(a), float(b)


def logwmse(song: Song) -> Pairs:
    """Stored values: upstream needs torchaudio; its signals are made, not recorded."""
    from benchsep.metrics.logwmse import logwmse as ours
    from tests.golden.make_logwmse import signals

    stored = json.loads((GOLDEN / "logwmse.json").read_text(encoding="utf-8"))
    for name, case in signals().items():
        channels = zip(*case, strict=True)
        yield "logwmse", float(np.mean([ours(*channel) for channel in channels])), stored[name]


CHECKS = (
    Check(
        "museval 0.4.1, every frame",
        bsseval,
        {"bsseval.sdr": (1e-6, "dB"), "bsseval": (1e-3, "dB")},
    ),
    Check("visqol-python 3.8.0", visqol, {"visqol, H": (1e-9, "MOS"), "visqol": (5e-2, "MOS")}),
    Check("speechmos 0.0.1.1", dnsmos, {"dnsmos": (2e-6, "MOS")}),
    Check("torchmetrics, NISQA", nisqa, {"nisqa": (3e-6, "MOS")}, no_nisqa_weights),
    Check("torchmetrics, SI-SDR", ratios, {"sisdr": (1e-9, "dB")}),
    Check("torchmetrics, SNR", challenge, {"usdr": (1e-6, "dB")}),
    Check("auraloss 0.4", spectral, {"mrstft": (2e-4, "")}),
    Check("MSST's formula on librosa and torch", bleedless, {"bleedless": (1e-2, "of 100")}),
    Check("mir_eval.onset, the same onsets", onsets, {"onsets": (1e-12, "")}),
    Check("torch-log-wmse 1.1, stored values", logwmse, {"logwmse": (1e-4, "of 73.68")}),
)

HEAD = """\
# Parity: every metric against its upstream

Written by `python -m benchmarks.parity --data FOLDER`. The same comparison on the embedded clip is
a test (`tests/metrics/test_parity.py`), which fails when a value is beyond its tolerance.

Audio: {count} real recordings of four stereo stems, {seconds:.0f} s together (`stempeg`'s clip,
and test excerpts of MUSDB18's 7-second edition where `FOLDER` has them, rounded to 16 bit).
Estimates are in turn those of `htdemucs@mini`, `oracle-irm`, bleed and noise, `bs_roformer@mini`.
Measured on {machine}.

| value | upstream | values | mean difference | largest | tolerance | unit |
|---|---|--:|--:|--:|--:|---|
"""

FOOT = """
`visqol` is Google's value. `visqol-python` computes another envelope, and sometimes aligns a
patch differently, so that line shows how far upstream is from Google. With upstream's envelope the
values are equal. Google's own conformance list is met to 1e-13: [visqol.md](visqol.md).
{missing}
## Defined here, without an upstream package

"""

WITHOUT = """\
| metric | what stands in for an upstream |
|---|---|
| `alignment` | a delay, a gain, a sign on real stems is found and undone: `test_alignment.py` |
| `lsd` | a plain float64 evaluation of the definition: `test_spectral.py` |
| `sisdr.sir`, `sisdr.sar` | the orthogonal split that defines them: `test_sdr.py` |
| `leakage`, `consistency` | bleed put in at known levels: `test_leakage.py` |
| `onsets.attack` | attacks of known softness; the detector against librosa's: `test_onsets.py` |
| `emb-*` | the network's own package on the same input: `test_embedding.py` |
"""


# -- the table -----------------------------------------------------------------------------------


def table(songs: list[Song], checks: tuple[Check, ...] = CHECKS) -> tuple[list[Row], list[str]]:
    """A row for each value, and what could not be compared here."""
    rows: dict[str, Row] = {}
    missing = []
    for check in checks:
        if reason := check.available():
            missing.append(f"{check.upstream}: {reason}")
            continue
        for song in songs[:1] if check.pairs is logwmse else songs:
            for value, ours, theirs in check.pairs(song):
                row = rows.setdefault(value, _row(value, check))
                # Infinite on both sides is equal; on one side it is as far as can be.
                row.gaps.append(0.0 if ours == theirs else abs(ours - theirs))
    return list(rows.values()), missing


def differences(rows: list[Row]) -> str:
    """A line for each value: pairs, how many are equal within 1e-9, and the largest ten."""
    return "\n".join(
        f"{row.value}: {len(row.gaps)} pairs, {sum(gap < 1e-9 for gap in row.gaps)} equal; largest "
        + ", ".join(f"{gap:.2g}" for gap in sorted(row.gaps, reverse=True)[:10])
        for row in rows
    )


def _named(name: str) -> tuple[Check, ...]:
    chosen = tuple(check for check in CHECKS if check.pairs.__name__ == name)
    if not chosen:
        names = ", ".join(check.pairs.__name__ for check in CHECKS)
        raise SystemExit(f"no check {name!r}; there are: {names}")
    return chosen


def _row(value: str, check: Check) -> Row:
    tolerance, unit = next(t for name, t in check.tolerance.items() if value.startswith(name))
    return Row(value, check.upstream, unit, tolerance)


def render(rows: list[Row], missing: list[str], songs: list[Song]) -> str:
    seconds = sum(next(iter(s.truth.values())).shape[1] for s in songs) / RATE
    lines = [
        f"| `{row.value}` | {row.upstream} | {len(row.gaps)} | {np.mean(row.gaps):.1e} | "
        f"{row.largest:.1e} | {row.tolerance:.0e} | {row.unit} |\n"
        for row in rows
    ]
    head = HEAD.format(count=len(songs), seconds=seconds, machine=upstream.machine())
    absent = "".join(f"Not compared here: {what}.\n" for what in missing)
    return head + "".join(lines) + FOOT.format(missing=absent) + WITHOUT


# -- songs ---------------------------------------------------------------------------------------


def spoilt(truth: upstream.Stems) -> upstream.Stems:
    """Bleed and noise."""
    total = sum(truth.values())
    noise = np.random.default_rng(0)
    return {
        s: (0.8 * x + 0.2 * total + 1e-3 * noise.standard_normal(x.shape)).astype(np.float32)
        for s, x in truth.items()
    }


def song(name: str, stems: dict, spec: str, seconds: float) -> Song:
    from benchmarks.whole_song import separated

    frames = round(seconds * RATE)
    truth = {s: np.ascontiguousarray(stems[s].samples[:, :frames]) for s in STEMS}
    return Song(name, truth, separated(truth, spec) if spec else spoilt(truth))


def songs_of(data: Path | None, excerpts: int, seconds: float) -> list[Song]:
    from benchsep.datasets.clip import ClipDataset
    from benchsep.datasets.musdb import load_stem_mp4

    recordings = [("clip", ClipDataset().tracks()[0].load().stems)]
    paths = sorted(data.rglob("*.stem.mp4"))[:excerpts] if data else []
    recordings += [(p.name.removesuffix(".stem.mp4"), load_stem_mp4(p).stems) for p in paths]
    return [
        song(name, stems, SYSTEMS[i % len(SYSTEMS)], seconds)
        for i, (name, stems) in enumerate(recordings)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with .stem.mp4 files, searched below")
    parser.add_argument("--excerpts", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=7.0)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/metrics/parity.md"))
    parser.add_argument(
        "--only", help="run one check, e.g. visqol; print differences, write no file"
    )
    options = parser.parse_args()
    songs = songs_of(options.data, options.excerpts, options.seconds)
    if options.only:
        print(differences(table(songs, _named(options.only))[0]))
        return
    rows, missing = table(songs)
    text = render(rows, missing, songs)
    options.output.write_text(text, encoding="utf-8")
    print(text)
    beyond = [row.value for row in rows if not row.within]
    if beyond:
        raise SystemExit(f"beyond tolerance: {', '.join(beyond)}")


if __name__ == "__main__":
    main()
