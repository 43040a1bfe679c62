import pytest

from benchsep.audio import STEMS
from benchsep.stems.files import audio_files, stem_files
from benchsep.stems.names import canonical, stem_map


def test_four_stems_are_themselves_in_any_spelling():
    found = stem_map(["Vocals", "DRUMS", "bass ", "Other"])
    assert found.stems == STEMS
    assert found.sources["vocals"] == ("Vocals",)
    assert found.folded == ""


def test_guitar_and_piano_are_part_of_other():
    found = stem_map(["vocals", "drums", "bass", "other", "guitar", "piano"])
    assert found.stems == STEMS
    assert set(found.sources["other"]) == {"other", "guitar", "piano"}
    assert found.folded == "other=guitar+other+piano"


@pytest.mark.parametrize("beside", [("acoustic_guitar",), ("Electric Guitar", "acoustic-guitar")])
def test_a_guitar_beside_all_guitars_counts_once(beside):
    """Perfect stems had an ``other`` of 12 dB."""
    found = stem_map(["vocals", "drums", "bass", "other", "guitar", *beside])
    assert set(found.sources["other"]) == {"other", "guitar"}
    found = stem_map(["vocals", "drums", "bass", "other", *beside])
    assert set(found.sources["other"]) == {"other", *beside}


@pytest.mark.parametrize("rest", ["other", "instrumental", "Accompaniment", "no_vocals"])
def test_of_two_stems_the_second_one_is_an_accompaniment(rest):
    found = stem_map(["vocals", rest])
    assert found.stems == ("vocals",)
    assert found.accompaniment == (rest,)


@pytest.mark.parametrize("names", [["other"], ["bass", "other"], ["drums", "no_drums"]])
def test_other_is_musdbs_other_only_beside_vocals_drums_and_bass(names):
    assert "other" not in stem_map(names).stems


def test_vocals_alone_offer_vocals():
    assert stem_map(["vocals"]).stems == ("vocals",)


def test_an_unknown_name_is_listed_and_not_scored():
    found = stem_map([*STEMS, "crowd"])
    assert found.unknown == ("crowd",)
    assert found.sources["other"] == ("other",)


@pytest.mark.parametrize("name", ["Bass Guitar", "bass_guitar", "electric bass"])
def test_a_bass_guitar_is_the_bass_and_no_guitar(name, tmp_path):
    (tmp_path / f"{name}.wav").touch()
    assert {canonical(stem) for stem in stem_files(audio_files(tmp_path))} == {"bass"}
    assert stem_map(["vocals", "drums", name, "other"]).stems == STEMS


def test_two_names_of_one_stem_are_refused():
    with pytest.raises(ValueError, match="both mean vocals"):
        stem_map(["vocals", "Vocal"])


def test_gather_sums_what_makes_a_stem_and_leaves_out_a_stem_with_a_missing_part():
    found = stem_map(["vocals", "drums", "bass", "other", "guitar"])
    outputs = {"vocals": 1, "drums": 2, "bass": 3, "other": 4, "guitar": 5}
    assert sorted(found.gather(outputs)["other"]) == [4, 5]
    del outputs["guitar"]
    assert "other" not in found.gather(outputs)
    assert found.gather(outputs)["vocals"] == [1]
