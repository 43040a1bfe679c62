"""Runs of any stem set: perfect estimates score as perfect however the stems are derived."""

from __future__ import annotations

import json

import numpy as np
import pytest

import benchsep
from benchsep.audio import STEMS, Audio, read_audio, write_audio
from benchsep.datasets.load import load_dataset
from benchsep.errors import DatasetError, UsageError
from benchsep.runner.manifest import check_one_stem_set
from benchsep.runner.plan import make_plan
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite, load_suite
from benchsep.stems.sets import STEM_SETS, parts_of

RATE, FRAMES = 8000, 4000
SIX = ("vocals", "drums", "bass", "other", "guitar", "piano")
"""As a six-stem program names its files: ``other`` is the rest."""
PERFECT_DB = 80.0
"""uSDR's constant in the denominator bounds it for short songs."""


def _noise(seed):
    return np.random.default_rng(seed).normal(0, 0.05, (2, FRAMES)).astype(np.float32)


def _song(song):
    """A song's six true signals by the names of :data:`SIX`."""
    return {name: _noise(100 * song + i) for i, name in enumerate(SIX)}


def _write(folder, parts):
    for name, samples in parts.items():
        write_audio(folder / f"{name}.wav", Audio(np.asarray(samples, np.float32), RATE))


def _kind(six, kind):
    """What a folder of some kind holds of a song."""
    mixture, other = sum(six.values()), six["other"] + six["guitar"] + six["piano"]
    rest = mixture - six["vocals"]
    return {
        "four": {**{s: six[s] for s in STEMS[:3]}, "other": other},
        "six": six,
        "vocals": {"vocals": six["vocals"]},
        "pair": {"vocals": six["vocals"], "other": rest},
        "karaoke": {"instrumental": rest},
        "drumless": {"drums": six["drums"], "no_drums": mixture - six["drums"]},
        "five": {**{s: six[s] for s in (*STEMS[:3], "piano")}, "other": other - six["piano"]},
    }[kind]


KINDS = ("four", "six", "vocals", "pair", "karaoke", "drumless", "five")


@pytest.fixture
def folders(tmp_path):
    """A folder of each kind for two songs, as estimates and, with a mixture, as a data set."""
    for song in (0, 1):
        six = _song(song)
        for kind in KINDS:
            parts = _kind(six, kind)
            _write(tmp_path / "estimates" / kind / f"song {song}", parts)
            _write(
                tmp_path / "data" / kind / f"song {song}", {**parts, "mixture": sum(six.values())}
            )
    return tmp_path


def _run(folders, data, *systems, **options):
    options = {"metrics": ("usdr",), "yardsticks": False, "jobs": 1, **options}
    out = folders / f"run-{len(list(folders.glob('run-*')))}"
    result = benchsep.run(
        dataset=f"folder:{folders / 'data' / data}",
        systems=tuple(f"dir:{folders / 'estimates' / kind}" for kind in systems),
        out=out,
        **options,
    )
    assert not result.failed
    return benchsep.load_run(out)


def _stems(frame, system):
    own = frame[(frame["system"] == f"dir:{system}") & (frame["status"] == "ok")]
    return set(own["stem"])


OFFERED = {
    "vdbo": {
        "four": {*STEMS}, "six": {*STEMS}, "five": {*STEMS}, "vocals": {"vocals"},
        "pair": {"vocals"}, "karaoke": {"vocals"}, "drumless": {"drums"},
    },
    "vi": {k: {"vocals", "instrumental"} for k in KINDS if k != "drumless"},
    "vdbogp": {
        "four": {*STEMS[:3]}, "six": {*STEMS[:3], "other6", "guitar", "piano"},
        "five": {*STEMS[:3], "piano"}, "vocals": {"vocals"}, "drumless": {"drums"},
    },
    "drums,no_drums": {
        k: {"drums", "no_drums"} for k in ("four", "six", "five", "drumless")
    },
}  # fmt: skip


POSSIBLE = {
    "six": OFFERED,
    "four": ("vdbo", "vi", "drums,no_drums"),
    "pair": ("vdbo", "vi"),
}


@pytest.mark.parametrize(("data", "name"), [(d, n) for d, names in POSSIBLE.items() for n in names])
def test_perfect_estimates_are_perfect_under_every_relation(folders, name, data):
    stems = ("vocals",) if (data, name) == ("pair", "vdbo") else tuple(name.split(","))
    frame = _run(folders, data, *OFFERED[name], stems=stems)
    for system, offered in OFFERED[name].items():
        wanted = offered & {"vocals"} if stems == ("vocals",) else offered
        assert _stems(frame, system) == wanted, system
    assert frame.loc[frame["status"] == "ok", "value"].min() > PERFECT_DB


def test_interference_is_measured_against_the_other_stems_of_the_set(folders):
    frame = _run(folders, "four", "six", stems=("vi",), metrics=("leakage", "consistency"))
    values = frame[frame["status"] == "ok"].groupby(["metric", "stem"])["value"].max()
    assert values["leakage.bleed", "instrumental"] < -25
    assert values["consistency", "vocals"] == -80


def test_yardsticks_follow_the_set(folders):
    frame = _run(folders, "four", "pair", stems=("vi",), yardsticks=True)
    value = frame.set_index(["system", "stem"])["value"].groupby(level=[0, 1]).mean()
    assert value["reference", "instrumental"] > PERFECT_DB
    # Five sixths of a mixture of six equal noises: 10 log10(5 / 1).
    assert value["mixture", "instrumental"] == pytest.approx(7.0, abs=0.5)
    assert value["oracle-irm", "instrumental"] > value["mixture", "instrumental"]
    assert ("wrong-song", "instrumental") in value


def test_a_stem_that_a_system_cannot_give_is_a_row_with_a_reason(folders):
    frame = _run(folders, "six", "four", "karaoke", stems=("vdbogp",))
    lost = frame[frame["stem"] == "piano"]
    assert {"undefined: the system gives no piano"} == set(lost["status"])
    none = _run(folders, "six", "four", "drumless", stems=("guitar",))
    own = none[none["system"] == "dir:drumless"]
    assert len(own) == 2 and all("no_drums" in status for status in own["status"])


def test_systems_of_every_kind_stand_beside_a_four_stem_one(folders):
    frame = _run(folders, "four", *KINDS)
    for system, offered in OFFERED["vdbo"].items():
        assert _stems(frame, system) == offered
    assert not frame["status"].str.startswith("failed").any()


def test_a_set_by_name_and_by_its_stems_are_one_request(tmp_path):
    by_name, by_option = Suite(stems=("vi",)), Suite(stem_set="vi")
    assert by_name.stems == by_option.stems == ("vocals", "instrumental")
    (tmp_path / "s.yaml").write_text("stems: vdbogp\n")
    assert load_suite(tmp_path / "s.yaml").stems == STEM_SETS["vdbogp"].stems
    (tmp_path / "s.yaml").write_text("stem_set: moises\nstems: [wind, vocals]\n")
    assert load_suite(tmp_path / "s.yaml").stems == ("vocals", "wind")
    assert Suite().stems == STEMS and Suite(stems=("guitar", "other")).stems == ("other6", "guitar")


def test_a_run_folder_holds_one_set(folders):
    data = f"folder:{folders / 'data' / 'four'}"
    common = {"dataset": data, "metrics": ("usdr",), "jobs": 1, "out": folders / "run"}
    benchsep.run(systems=("mixture",), yardsticks=False, **common)
    with pytest.raises(UsageError, match=r"stem set vdbo.*one table has one stem set"):
        benchsep.run(systems=("mixture",), yardsticks=False, stem_set="vi", **common)
    benchsep.run(systems=("mixture",), yardsticks=False, stems=("vocals",), **common)


def test_runs_of_two_sets_are_named():
    suites = {"a": {"suite": {"stems": [*STEMS]}}, "b": {"suite": {"stems": ["vocals"]}}}
    check_one_stem_set(suites)
    with pytest.raises(UsageError, match="a has the stem set vdbo and c has vi"):
        check_one_stem_set({**suites, "c": {"suite": {"stems": ["instrumental"]}}})
    check_one_stem_set({})


def test_a_finished_run_of_a_set_has_nothing_to_do(folders):
    suite = Suite(
        dataset=f"folder:{folders / 'data' / 'six'}",
        systems=(f"dir:{folders / 'estimates' / 'vocals'}", "mixture"),
        stem_set="vi", metrics=("usdr",), yardsticks=False, jobs=1,
    )  # fmt: skip
    benchsep.run(suite, out=folders / "run")
    assert not make_plan(suite, Store(folders / "run")).jobs


def test_a_stem_that_cannot_be_derived_names_what_is_there(folders):
    with pytest.raises(
        UsageError, match=r"no piano.*vocals, instrumental; possible: --stem-set vi"
    ):
        _run(folders, "pair", "four", stems=("vocals", "piano"))


@pytest.mark.parametrize(
    ("data", "stems"),
    [
        ("four", STEMS), ("six", STEMS), ("vocals", ("vocals", "instrumental")),
        ("pair", ("vocals", "instrumental")), ("karaoke", ("vocals", "instrumental")),
    ],
)  # fmt: skip
def test_without_a_choice_a_run_has_the_stems_of_its_data(folders, data, stems):
    assert set(_run(folders, data, "six")["stem"]) == set(stems)


@pytest.mark.parametrize("rest", ["accompaniment", "instrumental", "other"])
def test_vocals_and_the_rest_in_the_layout_of_musdb(tmp_path, rest):
    six = _song(0)
    mixture = sum(six.values())
    parts = {"vocals": six["vocals"], rest: mixture - six["vocals"], "mixture": mixture}
    _write(tmp_path / "hq" / "test" / "A - B", parts)
    for stems in (("vocals",), ("vi",)):
        result = benchsep.run(
            dataset="musdb18hq", root=str(tmp_path / "hq"), stems=stems, systems=("mixture",),
            metrics=("usdr", "bsseval"), jobs=1, out=tmp_path / stems[0],
        )  # fmt: skip
        assert not result.failed and set(result.cells()["stem"]) == set(result.plan.suite.stems)


def test_reference_stems_come_before_the_mixture(tmp_path):
    """A mastered mixture is louder than its stems: the reference instrumental is their sum."""
    parts = _kind(_song(0), "four")
    _write(tmp_path / "A", {**parts, "mixture": 2 * sum(parts.values())})
    suite = Suite(dataset=f"folder:{tmp_path}", stems=("vi",), systems=("mixture",))
    plan = make_plan(suite, Store(tmp_path / "run"))
    audio = plan.tracks[0].load()
    expected = sum(parts[s] for s in STEMS[1:])
    assert np.allclose(audio.stems["instrumental"].samples, expected, atol=1e-6)
    assert "reference instrumental = drums + bass + other" in plan.dataset.notes


# -- MoisesDB --------------------------------------------------------------------------------------

WITH_GUITAR = {
    "vocals": 2, "bass": 1, "drums": 3, "other": 1, "guitar": 2, "percussion": 1, "piano": 1,
    "other_keys": 1,
}  # fmt: skip
SPARSE = {"vocals": 1, "drums": 1, "bowed_strings": 2, "wind": 1}


def _moises(root, uuid, song, counts, seed, *, lengths=(FRAMES,)):
    """A song in MoisesDB's layout; returns each stem's true signal."""
    folder, stems, true = root / "moisesdb_v0.1" / uuid, [], {}
    for i, (stem, count) in enumerate(counts.items()):
        tracks = []
        for k in range(count):
            frames = lengths[(i + k) % len(lengths)]
            samples = _noise(seed + 10 * i + k)[:, :frames]
            write_audio(folder / stem / f"{uuid}-{i}-{k}.wav", Audio(samples, RATE))
            padded = np.pad(samples, ((0, 0), (0, FRAMES - frames)))
            true[stem] = true.get(stem, 0) + padded
            tracks.append(
                {"id": f"{uuid}-{i}-{k}", "trackType": "x", "extension": "wav", "has_bleed": False}
            )
        stems.append({"id": f"s{i}", "stemName": stem, "tracks": tracks})
    content = {"song": song, "artist": "Artist", "genre": "rock", "stems": stems}
    (folder / "data.json").write_text(json.dumps(content))
    return true


@pytest.fixture
def moises(tmp_path):
    root = tmp_path / "moisesdb"
    full = _moises(root, "0a", "Full", WITH_GUITAR, 0, lengths=(FRAMES, 3000))
    sparse = _moises(root, "0b", "Sparse", SPARSE, 500)
    return root, {"Artist - Full": full, "Artist - Sparse": sparse}


MAPPING = {
    "vdbo": {"other": {*WITH_GUITAR, *SPARSE} - {"vocals", "drums", "bass"}},
    "vi": {"instrumental": {*WITH_GUITAR, *SPARSE} - {"vocals"}},
    "vdbogp": {"other6": {"other", "percussion", "other_keys", "bowed_strings", "wind"}},
    "moises": {"other11": {"other"}},
}


@pytest.mark.parametrize("name", MAPPING)
def test_the_stems_of_moisesdb_are_mapped_to_every_set(moises, tmp_path, name):
    root, true = moises
    suite = Suite(dataset="moisesdb", root=str(root), stem_set=name, systems=("mixture",))
    plan = make_plan(suite, Store(tmp_path / "run"))
    for track in plan.tracks:
        own, audio = true[track.name], track.load()
        assert np.allclose(audio.mixture.samples, sum(own.values()), atol=1e-5)
        assert tuple(audio.stems) == tuple(s for s in STEM_SETS[name].stems if s in audio.stems)
        assert set(audio.stems) == set(track.stems)
        for stem, samples in audio.stems.items():
            parts = MAPPING[name].get(stem, {stem}) & own.keys()
            assert np.allclose(samples.samples, sum(own[p] for p in parts), atol=1e-5), stem
        absent = [s for s in STEM_SETS[name].stems if s not in track.stems]
        assert not any(MAPPING[name].get(stem, {stem}) & own.keys() for stem in absent)


def test_a_stem_that_does_not_sound_in_a_song_is_not_scored_there(moises, tmp_path):
    root, _ = moises
    result = benchsep.run(
        dataset="moisesdb", root=str(root), stem_set="moises", systems=("mixture",),
        metrics=("usdr",), jobs=1, out=tmp_path / "run",
    )  # fmt: skip
    frame = result.cells()
    assert not result.failed
    scored = frame[(frame["system"] == "reference") & (frame["track"] == "Artist - Sparse")]
    assert set(scored["stem"]) == {*SPARSE}
    assert scored["value"].min() > PERFECT_DB


def test_songs_of_one_name_are_told_apart_and_bad_files_are_named(tmp_path):
    root = tmp_path / "moisesdb"
    for uuid in ("11111111-a", "22222222-b"):
        _moises(root, uuid, "Twin", {"vocals": 1}, 0)
    tracks = load_dataset("moisesdb", root=str(root)).tracks()
    assert [t.name for t in tracks] == ["Artist - Twin (11111111)", "Artist - Twin (22222222)"]
    next((root / "moisesdb_v0.1" / "11111111-a" / "vocals").iterdir()).unlink()
    with pytest.raises(DatasetError, match="11111111-a"):
        tracks[0].load()
    (root / "moisesdb_v0.1" / "11111111-a" / "data.json").write_text("{")
    with pytest.raises(DatasetError, match=r"data\.json"):
        load_dataset("moisesdb", root=str(root)).tracks()
    with pytest.raises(DatasetError, match="no song of MoisesDB"):
        load_dataset(
            "moisesdb", root=str(tmp_path / "moisesdb" / "moisesdb_v0.1" / "11111111-a")
        ).tracks()


# -- songs without stems ---------------------------------------------------------------------------


@pytest.fixture
def songs(tmp_path):
    mixture = Audio(sum(_song(0).values()), RATE)
    write_audio(tmp_path / "songs" / "one.wav", mixture)
    write_audio(tmp_path / "songs" / "two" / "mixture.flac", mixture)
    write_audio(tmp_path / "songs" / "three" / "My song (final).wav", mixture)
    (tmp_path / "songs" / "empty").mkdir()
    return tmp_path / "songs"


def test_songs_without_stems_have_the_values_that_need_none(songs, tmp_path):
    for name in ("one", "two", "three"):
        _write(tmp_path / "estimates" / name, _kind(_song(0), "four"))
    result = benchsep.run(
        dataset=f"mixtures:{songs}", systems=(f"dir:{tmp_path / 'estimates'}",),
        metrics=("usdr", "consistency", "visqol"), jobs=1, out=tmp_path / "run",
    )  # fmt: skip
    frame = result.cells()
    assert not result.failed and not result.too_many_failures
    assert set(frame["metric"]) == {"consistency"}
    assert set(frame["system"]) == {"dir:estimates", "mixture"}
    assert set(frame["track"]) == {"one", "two", "three"}
    value = frame.groupby("system")["value"].mean()
    assert value["dir:estimates"] == -80
    # Four times the mixture less the mixture: three times it.
    assert value["mixture"] == pytest.approx(20 * np.log10(3), abs=0.01)
    assert set(result.plan.unavailable) == {"usdr", "visqol"}


def test_metrics_that_all_need_stems_are_refused(songs, tmp_path):
    with pytest.raises(UsageError, match=r"no true stems.*choose from .*consistency"):
        benchsep.run(dataset=f"mixtures:{songs}", metrics=("usdr",), out=tmp_path / "run")


def test_an_oracle_that_was_asked_for_says_why_it_has_no_value(songs, tmp_path):
    result = benchsep.run(
        dataset=f"mixtures:{songs}", systems=("oracle-irm",), metrics=("consistency",), jobs=1,
        out=tmp_path / "run",
    )  # fmt: skip
    own = result.cells()
    own = own[own["system"] == "oracle-irm"]
    assert len(own) and all("it needs true stems" in status for status in own["status"])
    assert not result.failed


def test_kept_estimates_of_six_stems_are_read_again_as_six(folders):
    _run(folders, "six", "six", stems=("vdbogp",), keep_estimates="flac")
    kept = sorted((folders / "run-0").rglob("other6.flac"))
    assert len(kept) == 2
    system = benchsep.load_system(f"dir:{kept[0].parents[1]}")
    assert set(system.info.stems) >= {"other6", "guitar", "piano"}
    assert read_audio(kept[0]).frames == FRAMES and parts_of("other6")
