"""Studies as data: descriptions, bare CSVs, templates, and metrics of a study's own sounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from benchsep.audio import Audio
from benchsep.errors import UsageError
from benchsep.listeners.scoring import containing, scored, with_metrics
from benchsep.listeners.study import built_in, one_value_each, read_study
from benchsep.listeners.template import write_template

CSV = """page,sound,subject,rating,experiment,again
a,ref,x,100,quality,False
a,one,x,40,quality,False
a,one,x,60,quality,True
a,one,y,70,quality,False
a,two,x,20,quality,False
a,one,x,90,interferer,False
a,two,x,95,interferer,False
"""
DESCRIPTION = {
    "name": "mine",
    "columns": {"song": "page", "system": "sound", "rater": "subject", "question": "experiment"},
    "questions": {"interferer": "interference"},
    "families": {"ref": "oracle", "*": "discriminative"},
}


@pytest.fixture
def described(tmp_path):
    (tmp_path / "ratings.csv").write_text(CSV)

    def write(**changes):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump({**DESCRIPTION, **changes}))
        return path

    return write


def test_columns_questions_and_families_are_those_of_the_description(described):
    study = read_study(described())
    assert study.questions == ["quality", "interference"]
    ratings = study.ratings("quality")
    assert set(ratings["stem"]) == {"vocals"}
    # the listener's two ratings of one sound are one opinion
    assert ratings.query("system == 'one'")["rating"].tolist() == [50, 70]
    clips = study.clips("quality").set_index("system")
    assert clips.loc["one", "rating"] == 60 and clips.loc["ref", "family"] == "oracle"
    first = read_study(described(where={"again": [False]}))
    assert first.ratings("quality").query("system == 'one'")["rating"].tolist() == [40, 70]


def test_the_command_line_counts_before_the_description(described):
    study = read_study(described(), families={"two": "generative"})
    assert dict(zip(study.table["system"], study.table["family"], strict=True)) == {
        "one": "discriminative", "two": "generative", "ref": "oracle",
    }  # fmt: skip


def test_a_bare_csv_needs_names_and_families(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(CSV)
    with pytest.raises(UsageError, match=r"no column for the song.*--column song=NAME"):
        read_study(path)
    columns = {"song": "page", "system": "sound"}
    with pytest.raises(UsageError, match=r"no column for the families.*--family"):
        read_study(path, columns=columns)
    study = read_study(path, columns=columns, families={"ref": "oracle", "*": "discriminative"})
    assert study.questions == ["quality"]  # the column has another name
    with pytest.raises(UsageError, match="no column 'absent'"):
        read_study(path, columns={"song": "absent"})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "none of the 0 rows has a rating"),
        ("a,g,generative,\na,d,discriminative,\n", "none of the 2 rows has a rating"),
        ("a,g,generative,inf\na,d,discriminative,3\n", "1 rating is infinite"),
        ("a,g,generative,2\na,,discriminative,3\n", "1 rating without a system"),
        (",g,generative,2\n,d,discriminative,3\n", "2 ratings without a song"),
    ],
)
def test_ratings_that_are_none_are_refused(tmp_path, rows, words):
    path = tmp_path / "r.csv"
    path.write_text("song,system,family,rating\n" + rows)
    with pytest.raises(UsageError, match=words):
        read_study(path)


def test_ratings_side_by_side_are_unfolded(tmp_path):
    (tmp_path / "ratings.csv").write_text(
        "song,system,family,mean,score,rating_0,rating_1,who_0,who_1,visqol\n"
        "a,g,generative,3,3,2,4,x,y,3.5\n"
        "a,d,discriminative,5,5,5,,x,y,3.0\n"
    )
    path = tmp_path / "study.yaml"
    wide = {"rating": "rating_{n}", "rater": "who_{n}"}
    path.write_text(yaml.safe_dump({"name": "w", "wide": wide}))
    study = read_study(path)
    assert study.table[["system", "rater", "rating"]].values.tolist() == [
        ["d", "x", 5], ["g", "x", 2], ["g", "y", 4],
    ]  # fmt: skip
    assert study.clips("quality")["visqol"].tolist() == [3.0, 3.5]


def test_a_rater_column_that_is_missing_is_named(tmp_path):
    (tmp_path / "ratings.csv").write_text("song,system,rating_0\na,g,2\n")
    wide = {"rating": "rating_{n}", "rater": "who_{n}"}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({"name": "w", "wide": wide}))
    with pytest.raises(UsageError, match="no column 'who_0'"):
        read_study(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nmae": "x"}, "nmae"),
        ({"where": {"absent": [1]}}, "no column 'absent'"),
        ({"wide": {"rating": "rating_{n}"}}, "no column 'rating_0'"),
        ({"wide": {"rating": "rating"}}, r"expected \{n\} in it"),  # it never ended
        ({"wide": {"rating": "r n}"}}, "Single '}'"),
        ({"wide": {"rating": "r_{n}_{who}"}}, "in braces"),
        ({"wide": {"rating": "r_{n.real}"}}, "in braces"),
        ({"wide": {"rating": "r_{n:1000000000}"}}, "in braces"),
        ({"audio": {"estimate": "{0}.wav", "reference": "r.wav"}}, "in braces"),
        ({"audio": {"estimate": "{song", "reference": "r.wav"}}, "expected '}'"),
        ({"ratings": "absent.csv"}, r"cannot be read as CSV \(no such file\)"),
        ({"families": {"ref": "oracle"}}, None),
    ],
)
def test_what_is_wrong_with_a_description_is_said(described, changes, words):
    if words is None:
        assert set(read_study(described(**changes)).table["family"]) == {"oracle", "unknown"}
        return
    with pytest.raises(UsageError, match=words):
        read_study(described(**changes))


def test_known_studies_ask_for_their_data():
    assert built_in() == ["gensvs2025", "ward2018"]
    for name in built_in():
        with pytest.raises(UsageError, match="--data FOLDER"):
            read_study(name)


def test_the_template_is_a_study(tmp_path):
    write_template(tmp_path / "s")
    study = read_study(tmp_path / "s" / "study.yaml")
    assert study.questions == ["quality", "interference"]
    assert set(study.table["family"]) == {"generative", "discriminative", "anchor"}
    assert "visqol" in study.clips("quality").columns, "there is a metric to judge"
    with pytest.raises(UsageError, match="exists already"):
        write_template(tmp_path / "s")


# --- sounds


def tone(hertz: float, level: float = 0.1) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(44100 * 2) / 44100)).astype(np.float32)


def test_a_mixture_of_another_loudness_is_brought_to_that_of_the_reference():
    voice, band = tone(440), tone(97, 0.2)
    mixture = Audio((0.4 * (voice + band))[None], 44100)
    found = containing(mixture, Audio(voice[None], 44100))
    np.testing.assert_allclose(found.samples[0], voice + band, atol=2e-4)
    with pytest.raises(UsageError, match="does not contain"):
        containing(Audio(band[None], 44100), Audio(voice[None], 44100))


def test_metrics_are_computed_from_the_sounds(described, tmp_path):
    voice, band = tone(440), tone(97, 0.2)
    sounds = {"ref": voice, "mix": 0.4 * (voice + band), "one": voice + 0.1 * band, "two": voice}
    (tmp_path / "a").mkdir()
    for name, wave in sounds.items():
        soundfile.write(str(tmp_path / "a" / f"{name}.wav"), wave, 44100, subtype="FLOAT")
    audio = {"estimate": "{song}/{system}.wav", "reference": "{song}/ref.wav"}
    study = read_study(described(audio={**audio, "mixture": "{song}/mix.wav",
                                        "mixture_level": "fitted"}))  # fmt: skip
    found = scored(study, ("sisdr", "leakage")).set_index("system")
    # one: the band at a tenth of its level, which is twice the voice's: 20 log10(1 / 0.2) dB
    assert found.loc["one", "sisdr.sir"] == pytest.approx(13.98, abs=0.1)
    assert found.loc["one", "leakage.bleed"] > found.loc["two", "leakage.bleed"] + 20
    clips = with_metrics(study.clips("quality"), found.reset_index())
    assert pd.isna(clips.set_index("system").loc["ref", "leakage.bleed"])
    (tmp_path / "a" / "two.wav").unlink()
    with pytest.raises(UsageError, match="no such file"):
        scored(study, ("sisdr",))
    with pytest.raises(UsageError, match="does not name its sound files"):
        scored(read_study(described()), ("sisdr",))


def test_ratings_that_name_no_stem_are_matched_with_the_run_s_only_one(tmp_path):
    from benchsep.listeners.ratings import attach_metrics

    path = tmp_path / "r.csv"
    path.write_text("song,system,family,rating\ns0,d1,discriminative,4\ns0,g1,generative,2\n")
    clips = read_study(path).clips("quality")
    frame = pd.DataFrame(
        {"system": ["d1", "g1"], "track": "s0", "stem": "drums", "metric": "visqol", "draw": 0,
         "value": [4.0, 1.0], "status": "ok", "edition": "hq"}
    )  # fmt: skip
    assert attach_metrics(clips, frame)["visqol"].tolist() == [4.0, 1.0]
    with pytest.raises(UsageError, match="the ratings have no column for the stem"):
        attach_metrics(clips, pd.concat([frame, frame.assign(stem="bass")]))


def _study(tmp_path, *rows, head="song,system,family,rater,rating,visqol"):
    path = tmp_path / "r.csv"
    path.write_text("\n".join([head, *rows]))
    return read_study(path)


def test_a_family_is_one_however_it_is_written_and_a_misspelt_one_is_refused(tmp_path):
    """``Discriminative`` was a condition like an anchor: its systems made no pair."""
    study = _study(
        tmp_path, "s,a,Discriminative,x,3,1", "s,b, generative ,x,4,2", "s,r,Anchor,x,5,3"
    )
    assert study.table.set_index("system")["family"].to_dict() == {
        "a": "discriminative", "b": "generative", "r": "Anchor"
    }  # fmt: skip
    with pytest.raises(UsageError, match="did you mean 'discriminative'"):
        _study(tmp_path, "s,a,discriminativ,x,3,1")


def test_ratings_without_a_rater_are_not_those_of_one_listener(tmp_path):
    rows = [f"s,a,generative,{who},{rating},1" for who, rating in (("x", 100), ("", 10), ("", 40))]
    study = _study(tmp_path, *rows)
    assert study.clips("quality")["rating"].tolist() == [50]  # not (100 + 25) / 2
    assert study.table["rater"].nunique() == 3


def test_a_clip_with_two_values_of_a_metric_is_refused(tmp_path):
    """Their mean was judged."""
    rows = ["s,a,generative,x,3,1.5", "s,a,generative,y,4,1.5000000001", "s,b,generative,x,3,"]
    one_value_each(_study(tmp_path, *rows).ratings("quality"), ["visqol"])
    study = _study(tmp_path, *rows, "s,b,generative,y,4,2", "s,b,generative,z,4,3")
    with pytest.raises(UsageError, match=r"s / b has two values of visqol .* 2 and 3"):
        one_value_each(study.ratings("quality"), ["visqol"])
