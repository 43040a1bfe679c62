"""The sections of a plan, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tokensep.config import CodecConfig, load
from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.plan import costs
from tokensep.plan.costs import Row, Work

Sections = dict[str, list[Row]]


def sections(
    work: Work,
    separator: TokenSepConfig,
    train: LMTrainConfig,
    codec: CodecConfig | None,
    codec_settings: Path | None,
) -> Sections:
    """Data, tokenising, LM and codec; the last two parts need to know the codec.

    Raises
    ------
    ConfigError
        ``codec_settings`` cannot be read.
    """
    found = {"data": costs.data_rows(work, separator)}
    settings = None
    if codec_settings is not None:
        from tokensep.train.codec import CodecSettings

        settings = load(CodecSettings, codec_settings)
        codec = settings.codec
    if codec is not None:
        found["tokenise"] = costs.tokenize_rows(work, separator, codec)
    found["language model"] = costs.lm_rows(work, separator, train)
    if settings is not None:
        found["codec"] = costs.codec_rows(work, settings.codec, settings.codec_train)
    return found


def as_text(work: Work, found: Sections) -> str:
    """One line per row, then the rates that were assumed."""
    lines = []
    for title, rows in found.items():
        lines.append(f"{title}:")
        lines += [f"  {r.name:<42} {_number(r.value):>10} {r.unit:<10} {r.how}" for r in rows]
    rates = work.rates
    lines.append(
        f"Assumed: {work.gpus} x {rates.gpu}, {rates.peak_tflops:g} TFLOP/s at "
        f"{rates.utilisation:.0%}, {rates.memory_gb:g} GB; teacher {rates.teacher:g} s per s of "
        f"music; FLAC {rates.flac:.0%} of the wave. Nothing here was timed on a GPU."
    )
    return "\n".join(lines)


def as_json(found: Sections) -> str:
    """``{section: [{name, value, unit, how}]}``."""
    return json.dumps({k: [asdict(row) for row in rows] for k, rows in found.items()}, indent=1)


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
