"""A small run as the long table every report function takes."""

from __future__ import annotations

from typing import Any

from benchsep.audio import STEMS
from benchsep.metrics.metric import Companion, ValueTraits

TRAITS = {
    "usdr": ValueTraits(
        "", 1, "dB", None, None, waveform_matching=True, display="uSDR", question="both",
        companion_rank=1, failure=0.0, tie_margin=0.25, rank=5,
    ),
    "bsseval.sdr": ValueTraits(
        "sdr", 1, "dB", None, None, aggregate="median", window_s=1.0, waveform_matching=True,
        display="cSDR", question="both", companion_rank=2, failure=0.0, tie_margin=0.25, rank=6,
        own_table=True,
    ),
    "visqol": ValueTraits(
        "", 1, "", 1.0, 4.75, display="ViSQOL", tie_margin=0.1, failure=2.0, rank=1,
        companion=Companion("interference", "no interference measure was run"),
    ),
    "mrstft": ValueTraits("", -1, "", 0.0, None, digits=3, display="MR-STFT", rank=2),
    "dnsmos.ovrl": ValueTraits(
        "ovrl", 1, "", 1.0, 5.0, display="DNSMOS OVRL", speech_model=True, tie_margin=0.1, rank=3
    ),
    "nisqa.mos": ValueTraits(
        "mos", 1, "", 1.0, 5.0, display="NISQA MOS", speech_model=True, tie_margin=0.2, rank=4
    ),
}  # fmt: skip
SYSTEMS = {
    "tokensep@mini": "generative",
    "htdemucs@mini": "discriminative",
    "bs_roformer@mini": "discriminative",
    "mixture": "mixture",
    "reference": "oracle",
    "oracle-irm": "oracle",
}
LEVEL = {
    "tokensep@mini": 1.0, "htdemucs@mini": 3.0, "bs_roformer@mini": 3.5,
    "mixture": -5.0, "reference": 40.0, "oracle-irm": 8.0,
}  # fmt: skip
TRACKS = ("Al & Co - A", "Be - <img onerror=alert(1)>", "Ci - C")


def make_rows(
    systems: dict[str, str] | None = None,
    metrics: tuple[str, ...] = tuple(TRAITS),
    tracks: tuple[str, ...] = TRACKS,
) -> list[dict[str, Any]]:
    rows = []
    for system, family in (systems or SYSTEMS).items():
        for t, track in enumerate(tracks):
            for s, stem in enumerate(STEMS):
                for metric in metrics:
                    if metric.split(".")[0] in ("dnsmos", "nisqa") and stem != "vocals":
                        continue
                    rows.append(
                        {
                            "system": system, "family": family, "track": track, "stem": stem,
                            "metric": metric, "draw": 0, "status": "ok", "edition": "aac-7s",
                            "value": value_of(system, t, s, metric), "frames": None,
                            "seconds": 0.1, "key": f"{system}/{track}/{stem}/{metric}",
                        }
                    )  # fmt: skip
    return rows


def value_of(system: str, track: int, stem: int, metric: str) -> float:
    level = LEVEL.get(system, 0.0) + 0.25 * track - 0.5 * stem
    if metric in ("usdr", "bsseval.sdr"):
        return level
    quality = 1 + 3.7 / (1 + 2.0 ** (-level / 4))
    return 5 - quality if metric == "mrstft" else quality
