"""Smooth quantities of the shipped tokensep on the embedded clip: ``tokensep_smooth.json``.

    python -m tests.golden.make_tokensep_smooth

Run it again when the shipped weights change, and say so in the changelog.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokensep.likelihood import stem_nll
from tokensep.lm.config import InferenceConfig, SamplingConfig
from tokensep.separator import TokenSep

from benchsep.datasets.clip import ClipDataset
from benchsep.metrics.visqol import Visqol

PATH = Path(__file__).with_name("tokensep_smooth.json")
ONE_PASS = InferenceConfig(
    decoding="one-pass", render="consensus", sampling=SamplingConfig(), stereo="mono",
    overlap_frames=32,
)  # fmt: skip
"""Nothing is drawn: the estimate is continuous in the weights."""


def measure(model: TokenSep) -> dict[str, Any]:
    """NLL per stem and layer; ViSQOL per stem of the codec with true tokens and of one pass."""
    from benchsep.audio import Audio
    from benchsep.metrics.metric import References

    track = ClipDataset().tracks()[0].load()
    mixture, stems = track.mixture.mono(), {s: a.mono() for s, a in track.stems.items()}
    nll = stem_nll(model, mixture, stems)
    rate = mixture.rate
    ceiling = {s: Audio(model.oracle(a.samples, rate), rate) for s, a in stems.items()}
    made = model.separate(mixture.samples, rate, options=ONE_PASS)
    one_pass = {s: Audio(w, rate) for s, w in made.items()}
    scores = {}
    for name, estimates in (("ceiling", ceiling), ("one_pass", one_pass)):
        found = Visqol().score_track(References(stems), estimates, tuple(stems))
        scores[name] = {s: found[s][""].value for s in stems}
    return {"nll": dict(zip(model.config.stems, nll.tolist(), strict=True)), **scores}


if __name__ == "__main__":
    PATH.write_text(json.dumps(measure(TokenSep.from_checkpoint("mini")), indent=1) + "\n")
