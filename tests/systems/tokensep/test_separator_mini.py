"""The shipped checkpoint on the real clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tokensep
import torch
from tokensep.dsp.stereo import rms
from tokensep.lm.config import PRESETS, STEMS
from tokensep.separator import TokenSep
from tokensep.train.fitting import fit_config

WEIGHTS = Path(tokensep.__file__).parent / "weights" / "mini"


@pytest.fixture(scope="module")
def mini() -> TokenSep:
    return TokenSep.from_checkpoint("mini")


def usdr(reference, estimate) -> float:
    error = ((reference - estimate) ** 2).sum() + 1e-7
    return float(10 * np.log10(((reference**2).sum() + 1e-7) / error))


def mean_usdr(clip, estimates) -> float:
    return float(np.mean([usdr(clip.stems[s].samples, estimates[s]) for s in STEMS]))


def test_each_part_is_at_most_12_mb_and_no_pickle():
    for path in WEIGHTS.iterdir():
        assert path.suffix in (".safetensors", ".json"), path.name
        assert path.stat().st_size <= 12e6, path.name


def test_the_shipped_weights_have_the_presets_configuration(mini):
    """What `make train-mini` trains decodes as what ships; the guided decoder names its stems."""
    assert fit_config(PRESETS["mini"], mini.codec) == mini.lm.config
    assert mini.config.inference.refine == dict.fromkeys(("vocals", "drums", "bass"), "guided")


def test_it_separates_real_music(mini, clip):
    """With the mixture's phase, 4 dB or more closer to the truth than the mixture."""
    mixture = clip.mixture.samples
    options = mini.config.inference.model_copy(update={"refine": "mask"})
    stems = mini.separate(mixture, clip.mixture.rate, options=options)
    before = mean_usdr(clip, dict.fromkeys(STEMS, mixture))
    assert mean_usdr(clip, stems) > before + 4


def test_the_guided_decoder_separates_real_music_in_one_pass(mini, clip):
    mixture = clip.mixture.samples
    options = mini.config.inference.rendered_as("guided")
    stems = mini.separate(mixture, clip.mixture.rate, options=options)
    before = mean_usdr(clip, dict.fromkeys(STEMS, mixture))
    assert mean_usdr(clip, stems) > before + 4
    assert (WEIGHTS / "guided.safetensors").stat().st_size <= 8e6


def test_generated_stems_follow_their_stem_more_than_the_others(mini, clip):
    """Loudness over time: each generated stem correlates best with its own truth, mostly."""
    stems = mini.separate(clip.mixture.samples, clip.mixture.rate)

    def envelope(samples):
        mono = samples.mean(0)
        frames = mono[: len(mono) // 4410 * 4410].reshape(-1, 4410)
        return np.log10(np.sqrt((frames**2).mean(1)) + 1e-4)

    true = {s: envelope(clip.stems[s].samples) for s in STEMS}
    found = {s: envelope(stems[s]) for s in STEMS}
    for stem in STEMS:
        assert 0.1 < rms(stems[stem]) / rms(clip.stems[stem].samples) < 3.0, stem
    table = np.array([[np.corrcoef(found[a], true[b])[0, 1] for b in STEMS] for a in STEMS])
    assert np.trace(table) / 4 > table.mean()


def test_the_codec_is_a_ceiling(mini, clip):
    """True tokens, masked onto the mixture, beat generated ones."""
    from tokensep.dsp.stereo import mask_mixture

    mixture = clip.mixture.samples
    level = rms(mixture.mean(0))
    coded = np.stack(
        [mini.oracle(clip.stems[s].samples.mean(0), 44_100, level=level)[0] for s in STEMS]
    )
    masked = mask_mixture(torch.from_numpy(mixture), torch.from_numpy(coded)).numpy()
    ceiling = dict(zip(STEMS, masked, strict=True))
    options = mini.config.inference.model_copy(update={"refine": "mask"})
    generated = mini.separate(mixture, 44_100, options=options)
    assert mean_usdr(clip, ceiling) > mean_usdr(clip, generated)
