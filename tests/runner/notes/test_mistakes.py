"""Estimates that look like mistakes in files are noticed and reported; bad separations are not."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli.app import app
from benchsep.runner.notes.lag import loudest_parts
from benchsep.runner.notes.mistakes import match, mistakes_of
from benchsep.runner.score import score

RATE = 44_100
SEED = {stem: seed for seed, stem in enumerate(STEMS)}


def music(seed, width=1.0):
    """Filtered noise that comes and goes, its side ``width`` times its middle, ``[2, n]``."""
    rng = np.random.default_rng(seed)
    n = 2 * RATE
    middle, side = (np.convolve(rng.normal(0, 1, n), np.ones(8) / 8, "same") for _ in range(2))
    fade = 0.1 * (1 + np.sin(2 * np.pi * (1 + seed) * np.arange(n) / RATE))
    return (fade * np.stack([middle + width * side, middle - width * side])).astype(np.float32)


def noisy(samples, seed=9):
    """5 dB: a separation as a small model gives it."""
    noise = np.random.default_rng(seed).normal(0, 1, samples.shape)
    scale = np.sqrt(np.square(samples).mean() / np.square(noise).mean()) * 10 ** (-5 / 20)
    return (samples + scale * noise).astype(np.float32)


def audios(samples):
    return {stem: Audio(np.ascontiguousarray(each), RATE) for stem, each in samples.items()}


REFERENCES = audios({stem: music(seed) for stem, seed in SEED.items()})


def mistakes(estimates, references=REFERENCES):
    return mistakes_of(references, audios(estimates), loudest_parts(references))


def good(*stems):
    return {stem: noisy(REFERENCES[stem].samples) for stem in stems or STEMS}


def test_a_separation_as_it_should_be_has_none():
    assert mistakes(good()) == {}


@pytest.mark.parametrize(
    "order",
    [("drums", "vocals", "bass", "other"), ("drums", "bass", "other", "vocals")],
    ids=["two exchanged", "another order"],
)
def test_stems_that_changed_places_are_named(order):
    estimates = dict(zip(STEMS, good(*order).values(), strict=True))
    expected = {s: f"is {other}" for s, other in zip(STEMS, order, strict=True) if s != other}
    assert mistakes(estimates) == expected


def test_one_estimate_like_another_stem_is_a_bad_separation():
    """A model that gives the drums for the vocals, too; and one that gives the mixture."""
    assert mistakes({**good(), "vocals": good("drums")["drums"]}) == {}
    mixture = 4 * REFERENCES["drums"].samples + sum(REFERENCES[s].samples for s in STEMS)
    assert mistakes(dict.fromkeys(STEMS, mixture)) == {}


def test_an_inverted_sign_and_exchanged_channels_are_named():
    estimates = good()
    estimates["bass"] = -estimates["bass"]
    estimates["other"] = estimates["other"][::-1]
    assert mistakes(estimates) == {"bass": "inverted", "other": "channels swapped"}


def test_channels_that_hardly_differ_cannot_be_told_apart():
    references = audios({"vocals": music(0, width=0.01)})
    assert mistakes({"vocals": noisy(references["vocals"].samples)[::-1]}, references) == {}


def test_clipping_that_the_reference_does_not_have_is_named():
    loud = {stem: Audio(3 * a.samples, RATE) for stem, a in REFERENCES.items()}
    clipped = {stem: np.clip(6 * a.samples, -1, 1) for stem, a in REFERENCES.items()}
    found = mistakes(clipped, loud)
    assert set(found.values()) == {"clipped"}
    beyond = {stem: 1.01 * samples for stem, samples in clipped.items()}
    assert mistakes(beyond, loud) == {}, "float files may go beyond full scale"
    own = audios(clipped)
    assert mistakes({stem: noisy(samples) for stem, samples in clipped.items()}, own) == {}


@pytest.mark.parametrize("level", [0.0, 3e-5], ids=["zeros", "-90 dBFS"])
def test_a_silent_estimate_of_a_sounding_stem_is_named(level):
    """It scores uSDR 0.00 with status ok, more than a bad separation."""
    noise = np.random.default_rng(5).normal(0, level, music(0).shape).astype(np.float32)
    estimates = {**good(), "bass": noise}
    assert mistakes(estimates) == {"bass": "silent"}
    truth = {**REFERENCES, "bass": Audio(noise, RATE)}
    assert mistakes(estimates, truth) == {}, "it is as it should be"


def test_generated_estimates_and_those_of_silent_stems_have_none():
    assert mistakes({stem: music(seed + 50) for stem, seed in SEED.items()}) == {}
    silent = audios({stem: np.zeros_like(music(0)) for stem in STEMS})
    assert mistakes(good(), silent) == {}


def test_the_match_is_si_sdr_with_the_sign_of_the_product():
    """A signal and noise orthogonal to it, a tenth of its energy: 10 dB by definition."""
    t = np.arange(1000) * 2 * np.pi / 100
    signal, noise = np.sin(t).astype(np.float32), np.cos(t).astype(np.float32)
    estimate = 3 * (signal + noise * np.float32(10**-0.5))
    assert match(signal, estimate) == pytest.approx(10, abs=1e-4)
    assert match(signal, -estimate) == pytest.approx(-10, abs=1e-4)
    assert match(signal, noise) == pytest.approx(0, abs=1e-4)


def test_a_run_and_its_tables_say_so(tmp_path):
    for stem, reference in REFERENCES.items():
        write_audio(tmp_path / "songs" / "A" / f"{stem}.wav", reference)
        name = {"vocals": "drums", "drums": "vocals"}.get(stem, stem)
        sign = -1 if stem == "bass" else 1
        sign = 0 if stem == "other" else sign
        estimate = Audio(sign * noisy(reference.samples), RATE)
        write_audio(tmp_path / "est" / "A" / f"{name}.wav", estimate)
    words = ["run", "--dataset", f"folder:{tmp_path / 'songs'}", "--metrics", "usdr", "-j", "1"]
    words += ["--systems", f"dir:{tmp_path / 'est'}", "--no-yardsticks"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "run")])
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "run"), "--format", "md"])
    for text in (
        "the estimates match other stems (drums is vocals, vocals is drums) on 1 of 1 song",
        "dir:est: the estimates have an inverted sign (bass) on 1 of 1 song",
        "dir:est: the estimates are silent, the true stems are not (other) on 1 of 1 song",
    ):
        assert text in done.stderr
        assert text in shown.stdout


def test_score_says_so_too(capsys):
    """Two stems exchanged, one late by 500 samples: what `benchsep score` prints, from Python."""
    estimates = audios(good())
    estimates["vocals"], estimates["drums"] = estimates["drums"], estimates["vocals"]
    moved = np.roll(estimates["bass"].samples, 500, axis=1)
    estimates |= audios({"bass": moved, "other": np.zeros_like(moved)})
    scores = score(REFERENCES, estimates, metrics="usdr")
    assert set(scores["status"]) == {"ok"}
    said = capsys.readouterr().err
    assert "match other stems (drums is vocals, vocals is drums): files may have been named" in said
    assert "the estimates are silent, the true stems are not (other): uSDR of a silent" in said
    assert "estimates have a delay (bass 500 samples late)" in said
