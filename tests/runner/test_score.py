"""benchsep.score: pairs by the rules of a run, bad input as a row with a reason."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import benchsep
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli.app import app
from benchsep.errors import AudioError, BenchsepError, UsageError

RATE = 44_100


def tone(seconds=1.0, rate=RATE, channels=2):
    t = np.arange(round(seconds * rate)) / rate
    return np.tile(0.1 * np.sin(2 * np.pi * 440 * t), (channels, 1)).astype(np.float32)


def usdr(reference, estimate, **more):
    (row,) = benchsep.score(reference, estimate, metrics=["usdr"], **more).itertuples()
    return row


@pytest.mark.parametrize("change", [-1, 1, -2429, 2429])
def test_a_few_samples_more_or_less_are_cut_or_padded(change):
    reference = tone()
    estimate = tone(1.0 + change / RATE)
    assert usdr(reference, estimate).status == "ok"


def test_another_rate_is_resampled():
    estimate = Audio(tone(rate=48_000), 48_000)
    row = usdr(Audio(tone(), RATE), estimate)
    assert row.status == "ok" and row.value > 40


def test_another_length_is_a_row_with_the_reason():
    row = usdr(tone(1.0), tone(2.0))
    assert row.status.startswith("failed") and "88200 samples" in row.status


def test_one_bad_stem_of_a_folder_costs_that_stem_alone(tmp_path):
    for stem in STEMS:
        write_audio(tmp_path / "ref" / f"{stem}.wav", Audio(tone(), RATE))
        seconds = 2.0 if stem == "bass" else 1.0
        write_audio(tmp_path / "est" / f"A_({stem.title()})_model.wav", Audio(tone(seconds), RATE))
    scores = benchsep.score(tmp_path / "ref", tmp_path / "est", metrics=["usdr"])
    status = dict(zip(scores["stem"], scores["status"], strict=True))
    assert status.pop("bass").startswith("failed")
    assert set(status.values()) == {"ok"}


def test_an_accompaniment_is_not_scored_as_other(tmp_path):
    for stem in ("vocals", "other"):
        write_audio(tmp_path / "est" / f"{stem}.wav", Audio(tone(), RATE))
    for stem in STEMS:
        write_audio(tmp_path / "ref" / f"{stem}.wav", Audio(tone(), RATE))
    scores = benchsep.score(tmp_path / "ref", tmp_path / "est", metrics=["usdr"])
    assert set(scores["stem"]) == {"vocals"}
    (tmp_path / "est" / "vocals.wav").unlink()
    with pytest.raises(UsageError, match="no file of vocals"):
        benchsep.score(tmp_path / "ref", tmp_path / "est", metrics=["usdr"])


def test_the_command_fails_when_nothing_could_be_scored(tmp_path):
    soundfile.write(tmp_path / "ref.wav", tone().T, RATE)
    soundfile.write(tmp_path / "est.wav", tone(3.0).T, RATE)
    words = ["score", str(tmp_path / "ref.wav"), str(tmp_path / "est.wav"), "--metrics", "usdr"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    soundfile.write(tmp_path / "est.wav", tone().T[:-1], RATE)
    assert CliRunner().invoke(app, words).exit_code == 0


def test_references_and_mixture_in_16_bit_scale_are_errors():
    """They gave 0.0003 dB of uSDR and a nearly perfect logWMSE, with status ok."""
    good, loud = tone(), tone() * 32768
    with pytest.raises(AudioError, match=r"reference of signal: its largest sample is .*16-bit"):
        benchsep.score(loud, good, metrics=["usdr"])
    with pytest.raises(AudioError, match="reference: samples are int16 up to"):
        benchsep.score(loud.astype(np.int16), good, metrics=["usdr"])
    with pytest.raises(UsageError, match=r"the mixture: its largest sample is .*16-bit"):
        benchsep.score(good, good, metrics=["logwmse"], mixture=loud)


def test_a_mixture_follows_the_rule_of_estimates(capsys):
    good, wrong = tone(), tone(channels=1) * 0.5
    row = benchsep.score(good, good * 0.9, metrics=["logwmse"], mixture=tone(1 + 9 / RATE))
    assert row.status.tolist() == ["ok"]
    assert "mixture: 9 samples longer, cut" in capsys.readouterr().err
    benchsep.score(good, good * 0.9, metrics=["logwmse"], mixture=wrong)
    assert "mixture: mono, repeated in the 2 channels" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"the mixture: 2.00 s .*as long as its reference"):
        benchsep.score(good, good, metrics=["logwmse"], mixture=tone(2.0))


def test_what_is_cut_or_padded_is_said(capsys):
    benchsep.score(tone(), tone(1 - 40 / RATE), metrics=["usdr"])
    assert "estimate of signal: 40 samples shorter, padded with zeros" in capsys.readouterr().err
    benchsep.score(tone(), tone(), metrics=["usdr"])
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (dict(reference={}, estimate={}), "dictionary of the reference is empty"),
        (dict(estimate={}), "dictionary of the estimate is empty"),
        (dict(estimate=None), "estimate is NoneType, expected a path, an array"),
        (dict(reference=b"a.wav"), "reference is bytes"),
        (dict(estimate=(44_100, tone())), "estimate: samples are tuple"),
        (dict(metrics=None), "metrics is None; leave it out"),
        (dict(metrics=" , "), "list of metrics is empty"),
        (dict(metrics=3), "metrics is 3, expected a list of names"),
        (dict(metrics=["usdr", None]), "expected a list of names"),
    ],
)
def test_a_call_without_signals_or_metrics_says_what_is_missing(asked, message):
    asked = {"reference": tone(), "estimate": tone(), "metrics": ["usdr"], **asked}
    with pytest.raises(BenchsepError, match=message):
        benchsep.score(**asked)


def test_metrics_may_be_one_text():
    columns = benchsep.score(tone(), tone() * 0.5, metrics="uSDR, lsd").metric.tolist()
    assert columns == ["usdr", "lsd"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            ("vocals", "accompaniment"),
            "no estimate of drums, bass, other, and no reference for inst",
        ),
        (("vocals", "drums"), "no estimate of bass, other; its files were read as vocals, drums"),
        (STEMS, ""),
        (("lead_vocals", *STEMS[1:]), "their names: lead_vocals.wav as vocals (1 file)"),
        (tuple(f"song_{stem}" for stem in STEMS), ""),
        ((*STEMS[:3], "guitar", "other"), ""),  # guitar is part of the reference's other
    ],
)
def test_what_a_folder_lacks_or_has_too_much_is_said(tmp_path, capsys, files, said):
    for stem in STEMS:
        write_audio(tmp_path / "ref" / f"{stem}.wav", Audio(tone(), RATE))
    for stem in files:
        write_audio(tmp_path / "est" / f"{stem}.wav", Audio(tone(), RATE))
    benchsep.score(tmp_path / "ref", tmp_path / "est", metrics=["usdr"])
    err = capsys.readouterr().err
    assert said in err if said else not err
