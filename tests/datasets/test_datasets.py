"""Datasets keep their layouts' promises, and name what breaks them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchsep.audio import STEMS, Audio, write_audio
from benchsep.datasets.clip import clip_path
from benchsep.datasets.folder import folder
from benchsep.datasets.load import default_dataset, load_dataset
from benchsep.datasets.musdb import VALIDATION, load_stem_mp4, musdb18hq
from benchsep.errors import DatasetError, UsageError

RATE = 8000


def _song(folder: Path, *, mixture: bool = True, frames: int = 800, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    stems = {s: rng.normal(0, 0.05, (2, frames)).astype(np.float32) for s in STEMS}
    for stem, samples in stems.items():
        write_audio(folder / f"{stem}.wav", Audio(samples, RATE))
    if mixture:
        write_audio(folder / "mixture.wav", Audio(sum(stems.values()), RATE))


@pytest.fixture
def hq(tmp_path: Path) -> Path:
    for split, name in [
        ("test", "A - B"),
        ("test", "Ünï - Cödé"),
        ("train", VALIDATION[0]),
        ("train", "T"),
    ]:
        _song(tmp_path / "hq" / split / name)
    return tmp_path / "hq"


def test_hq_splits_part_the_training_folder(hq):
    names = {
        s: [t.name for t in load_dataset("musdb18hq", root=str(hq), split=s).tracks()]
        for s in ("test", "train", "valid", "all")
    }
    assert names["test"] == ["A - B", "Ünï - Cödé"]
    assert names["train"] == ["T"] and names["valid"] == [VALIDATION[0]]
    assert len(names["all"]) == 4


def test_root_comes_from_the_environment(hq, monkeypatch):
    monkeypatch.setenv("MUSDB_PATH", str(hq))
    assert default_dataset(None) == "musdb18hq"
    assert len(load_dataset("musdb18hq").tracks()) == 2


def test_a_root_that_would_not_be_read_is_refused(tmp_path, monkeypatch):
    """Silently scored were the clip instead of a folder, and one of two folders."""
    monkeypatch.chdir(tmp_path)
    for name in ("A", "B"):
        _write_song(tmp_path / name / "song", STEMS)
    with pytest.raises(UsageError, match="'clip' needs no folder; leave out --root"):
        load_dataset("clip", root=str(tmp_path))
    for kind in ("folder", "mixtures"):
        with pytest.raises(
            UsageError, match=rf"{kind}:A and --root .*B are two folders for one data set"
        ):
            load_dataset(f"{kind}:A", root=str(tmp_path / "B"))
        assert load_dataset(f"{kind}:A", root=str(tmp_path / "A")).tracks()


def test_no_root_means_the_embedded_clip(monkeypatch):
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    assert default_dataset(None) == "clip"
    with pytest.raises(DatasetError, match="MUSDB_PATH"):
        load_dataset("musdb18hq")


def test_mixture_is_a_file_or_a_sum_and_says_which(hq):
    as_file = load_dataset("musdb18hq", root=str(hq)).tracks()[0].load()
    as_sum = load_dataset("musdb18hq", root=str(hq), mixture="sum").tracks()[0].load()
    assert (as_file.mixture_source, as_sum.mixture_source) == ("file", "sum")
    assert np.allclose(as_file.mixture.samples, as_sum.mixture.samples, atol=1e-6)


@pytest.mark.parametrize("fault", ["missing", "rate", "short", "garbage", "channels", "header"])
def test_a_broken_track_raises_a_named_error(hq, fault):
    path = hq / "test" / "A - B" / "drums.wav"
    if fault == "missing":
        path.unlink()
    elif fault == "rate":
        write_audio(path, Audio(np.zeros((2, 800), np.float32), 16_000))
    elif fault == "short":
        write_audio(path, Audio(np.zeros((2, 500), np.float32), RATE))
    elif fault == "garbage":
        path.write_bytes(b"not a wav file at all")
    elif fault == "channels":
        write_audio(path, Audio(np.zeros((1, 800), np.float32), RATE))
    elif fault == "header":
        path.write_bytes(path.read_bytes()[:400])
    tracks = load_dataset("musdb18hq", root=str(hq)).tracks()
    with pytest.raises(DatasetError, match="drums"):
        tracks[0].load()
    assert tracks[1].load().mixture.frames == 800


def test_folder_takes_wav_or_flac_and_sums_where_no_mixture_is(tmp_path):
    _song(tmp_path / "one", mixture=False)
    _song(tmp_path / "two")
    for stem in STEMS:
        write_audio(
            tmp_path / "three" / f"{stem}.flac", Audio(np.full((1, 80), 0.1, np.float32), RATE)
        )
    (tmp_path / "not-a-track").mkdir()
    dataset = load_dataset(f"folder:{tmp_path}")
    sources = {t.name: t.load().mixture_source for t in dataset.tracks()}
    assert sources == {"one": "sum", "two": "file", "three": "sum"}
    assert "2 of 3" in dataset.notes[0]


def test_the_clip_is_real_rounded_and_exactly_its_sum(clip):
    assert clip.mixture.rate == 44_100 and clip.mixture.channels == 2
    assert 6.0 < clip.mixture.seconds < 6.2
    steps = clip.stems["vocals"].samples.astype(np.float64) * 32768
    assert np.abs(steps - np.round(steps)).max() == 0
    total = sum(a.samples.astype(np.float64) for a in clip.stems.values())
    assert np.abs(total - clip.mixture.samples).max() < 1e-6
    levels = [float(np.square(a.samples).mean()) for a in clip.stems.values()]
    assert min(levels) > 1e-6


def test_a_truncated_stem_mp4_is_a_named_error(tmp_path):
    data = clip_path().read_bytes()
    broken = tmp_path / "Broken - Song.stem.mp4"
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match="Broken - Song"):
        load_stem_mp4(broken)


def test_the_edition_is_checked_against_the_length(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "x.stem.mp4").write_bytes(clip_path().read_bytes())
    assert load_dataset("musdb18-7s", root=str(tmp_path)).tracks()[0].load().mixture.frames > 0
    with pytest.raises(DatasetError, match="musdb18-7s, not musdb18"):
        load_dataset("musdb18", root=str(tmp_path)).tracks()[0].load()


def test_a_folder_of_the_other_edition_is_named(hq: Path, tmp_path: Path) -> None:
    (tmp_path / "aac" / "test").mkdir(parents=True)
    (tmp_path / "aac" / "test" / "A - B.stem.mp4").touch()
    for name, root, found in (
        ("musdb18hq", tmp_path / "aac", r"\.stem\.mp4 files: use --dataset musdb18 or musdb18-7s"),
        ("musdb18", hq, "wav files: use --dataset musdb18hq"),
        (
            "musdb18hq",
            hq / "test",
            "expected test/TRACK/mixture.wav in this folder; download it from",
        ),
    ):
        with pytest.raises(DatasetError, match=found):
            load_dataset(name, root=str(root)).tracks()


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'musdb18hq'"):
        load_dataset("musdb18-hq")
    with pytest.raises(UsageError, match="takes no text after a colon"):
        load_dataset("clip:x")
    with pytest.raises(UsageError, match="'clip' has no split 'tset'; expected one of test, train"):
        load_dataset("clip", split="tset")


@pytest.mark.shared
def test_the_shared_excerpts_are_all_readable_and_never_silent(shared):
    root = shared / "data" / "musdb18-7s"
    tracks = load_dataset("musdb18-7s", root=str(root)).tracks()
    assert len(tracks) == 25
    assert len(load_dataset("musdb18-7s", root=str(root), split="valid").tracks()) == 14
    for track in tracks[:3]:
        audio = track.load()
        assert audio.mixture.frames == 300_032
        assert not any(a.silent for a in audio.stems.values())


@pytest.mark.parity
def test_splits_and_samples_are_those_of_the_musdb_package(shared):
    """musdb hands out what ffmpeg rounded to 16 bit: within one step of our rounding."""
    musdb = pytest.importorskip("musdb", exc_type=Exception)
    database = musdb.DB(root=str(shared / "data" / "musdb18-7s"), subsets="train", split="valid")
    theirs = {t.name: t for t in database.tracks}
    assert set(theirs) == set(VALIDATION)
    ours = load_dataset("musdb18-7s", root=str(shared / "data" / "musdb18-7s"), split="valid")
    track = ours.tracks()[0]
    expected = theirs[track.name].targets["vocals"].audio.T
    found = track.load().stems["vocals"].samples
    frames = min(expected.shape[1], found.shape[1])
    assert np.abs(expected[:, :frames] - found[:, :frames]).max() <= 1.0001 / 32768


# -- any folder ----------------------------------------------------------------------------------


def _write_song(folder, names, *, mixture=True, suffix=".wav"):
    """A song of tones; returns the samples ``[channels, n]`` by name."""
    t = np.arange(4000) / 8000
    parts = {
        name: 0.1 * np.sin(2 * np.pi * 100 * (i + 1) * t)[None].repeat(2, 0).astype(np.float32)
        for i, name in enumerate(names)
    }
    for name, samples in parts.items():
        write_audio(folder / f"{name}{suffix}", Audio(samples, 8000))
    if mixture:
        write_audio(folder / f"mixture{suffix}", Audio(sum(parts.values()), 8000))
    return parts


def test_names_of_stem_files_are_read_in_any_spelling(tmp_path):
    names = ("Vocals", "A - B_DRUMS", "A - B - bass", "other")
    _write_song(tmp_path / "A - B", names, mixture=False)
    (track,) = folder(str(tmp_path)).tracks()
    assert tuple(track.load().stems) == STEMS


def test_a_reference_that_is_a_part_of_a_stem_by_its_name_is_noted(tmp_path):
    """The lead vocals were the true vocals without a word."""
    _write_song(tmp_path / "A", ("lead_vocals", "drums"))
    _write_song(tmp_path / "B", ("vocals", "drums"))
    data = folder(str(tmp_path))
    assert {track.stems for track in data.tracks()} == {("vocals", "drums")}
    note = "files read by the end of their names: lead_vocals.wav as vocals (1 file)"
    assert data.notes == ("mixture = its own file", note)


def test_guitar_and_piano_of_a_dataset_are_part_of_other(tmp_path):
    parts = _write_song(tmp_path / "A", (*STEMS, "guitar", "piano"))
    (track,) = folder(str(tmp_path)).tracks()
    expected = parts["other"] + parts["guitar"] + parts["piano"]
    assert np.allclose(track.load().stems["other"].samples, expected, atol=1e-6)


def test_both_guitars_beside_their_sum_count_once(tmp_path):
    parts = _write_song(tmp_path / "A", (*STEMS, "guitar", "acoustic_guitar", "electric_guitar"))
    (track,) = folder(str(tmp_path), mixture="sum").tracks()
    audio = track.load()
    expected = parts["other"] + parts["guitar"]
    assert np.allclose(audio.stems["other"].samples, expected, atol=1e-6)
    whole = sum(parts[stem] for stem in (*STEMS, "guitar"))
    assert np.allclose(audio.mixture.samples, whole, atol=1e-6)


def test_songs_named_in_their_files_may_end_with_no(tmp_path):
    """With ``--stem-set vi`` the vocals of "PR - Oh No" were the instrumental."""
    parts = {}
    for song in ("PR - Oh No", "PR - Happy Daze"):
        names = [f"{song}_{stem}" for stem in STEMS]
        parts[song] = _write_song(tmp_path / song, names)
    for track in folder(str(tmp_path)).tracks():
        assert track.stems == STEMS and track.offers == STEMS
        vocals = track.load().stems["vocals"].samples
        assert np.allclose(vocals, parts[track.name][f"{track.name}_vocals"], atol=1e-6)


@pytest.mark.parametrize("rest", ["other", "instrumental"])
def test_a_dataset_of_vocals_and_the_rest_offers_vocals(tmp_path, rest):
    parts = _write_song(tmp_path / "A", ("vocals", rest))
    (track,) = folder(str(tmp_path)).tracks()
    assert track.stems == ("vocals",)
    loaded = track.load()
    assert set(loaded.stems) == {"vocals", "accompaniment"}
    assert np.allclose(loaded.stems["accompaniment"].samples, parts[rest], atol=1e-6)


def test_vocals_and_mixture_are_enough(tmp_path):
    parts = _write_song(tmp_path / "A", ("vocals",), mixture=False)
    mixture = Audio(parts["vocals"] * 3, 8000)
    write_audio(tmp_path / "A" / "mixture.wav", mixture)
    (track,) = folder(str(tmp_path)).tracks()
    rest = track.load().stems["accompaniment"]
    assert np.allclose(rest.samples, 2 * parts["vocals"], atol=1e-6)


def test_a_file_that_only_one_track_lacks_is_an_error(tmp_path):
    _write_song(tmp_path / "A", STEMS)
    _write_song(tmp_path / "B", STEMS)
    (tmp_path / "B" / "drums.wav").unlink()
    with pytest.raises(DatasetError, match=r"drums\.wav is missing"):
        folder(str(tmp_path)).tracks()[1].load()


@pytest.mark.parametrize(
    ("place", "hint"),
    [("test", r"of \.stem\.mp4 files: --dataset musdb18 --root .*own$"),
     ("", r"put the \.stem\.mp4 files into .*own/test: --dataset musdb18 --root .*own$")],
)  # fmt: skip
def test_stem_files_in_a_folder_of_ones_own_get_their_data_set(tmp_path, place, hint):
    folder = tmp_path / "own" / place
    folder.mkdir(parents=True)
    (folder / "A - B.stem.mp4").write_bytes(b"")
    for root in {tmp_path / "own", folder}:
        with pytest.raises(DatasetError, match=hint):
            load_dataset(f"folder:{root}").tracks()


def test_tracks_one_level_deeper_are_hinted_at(tmp_path):
    _write_song(tmp_path / "test" / "A", STEMS)
    with pytest.raises(DatasetError, match=r"did you mean folder:.*/test\?"):
        folder(str(tmp_path)).tracks()


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "$RECYCLE.BIN", "._A"])
def test_what_a_file_system_left_behind_is_no_track(tmp_path, name):
    for dataset in (folder, lambda root: musdb18hq(root=root)):
        root = tmp_path / ("hq/test" if dataset is not folder else "songs")
        _write_song(root / "A", STEMS)
        _write_song(root / name, STEMS)
        given = tmp_path / "hq" if dataset is not folder else root
        assert [t.name for t in dataset(str(given)).tracks()] == ["A"]


def test_the_mixture_of_a_folder_can_be_chosen(tmp_path):
    parts = _write_song(tmp_path / "A", STEMS)
    louder = Audio(2 * sum(parts.values()), 8000)
    write_audio(tmp_path / "A" / "mixture.wav", louder)
    for choice, factor in (("file", 2), ("sum", 1)):
        (track,) = folder(str(tmp_path), mixture=choice).tracks()
        assert np.allclose(track.load().mixture.samples, factor * sum(parts.values()), atol=1e-6)
