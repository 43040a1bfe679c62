import unicodedata

import pytest

from benchsep.errors import AudioError
from benchsep.stems import files


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("vocals.wav", "vocals"),
        ("Vocals.WAV", "vocals"),
        ("A - B - vocals.wav", "vocals"),
        ("A - B_vocals.wav", "vocals"),
        ("a - b_(Vocals)_mel_band_roformer.wav", "vocals"),
        ("A - B_(Instrumental)_x.flac", "accompaniment"),
        ("A - B_no_vocals.wav", "accompaniment"),
    ],
)
def test_every_layout_of_a_stem_file_is_recognised(tmp_path, name, stem):
    folder = touch(tmp_path / "A - B", name)
    assert files.stem_files(files.audio_files(folder), "A - B") == {stem: folder / name}


def test_a_file_of_another_track_is_not_this_tracks(tmp_path):
    folder = touch(tmp_path, "C - D_vocals.wav", "A - B (live)_vocals.wav")
    assert files.stem_files(files.audio_files(folder), "A - B") == {}


def test_a_track_whose_own_name_has_brackets(tmp_path):
    folder = touch(tmp_path, "A - B_(Live)_(Vocals)_model.wav")
    assert set(files.stem_files(files.audio_files(folder), "A - B_(Live)")) == {"vocals"}


def test_names_are_compared_as_people_see_them(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
    touch(tmp_path / decomposed, "vocals.wav")
    assert files.matching(composed, files.folders(tmp_path)).name == decomposed
    assert files.matching("CAFÉ", files.folders(tmp_path)).name == decomposed
    assert files.matching("Cafe", files.folders(tmp_path)) is None


def test_the_exact_spelling_comes_first_and_two_others_are_ambiguous(tmp_path):
    touch(tmp_path / "song"), touch(tmp_path / "Song")
    assert files.matching("song", files.folders(tmp_path)).name == "song"
    with pytest.raises(AudioError, match="both look like 'SONG'"):
        files.matching("SONG", files.folders(tmp_path))


def test_junk_is_neither_a_track_nor_a_stem(tmp_path):
    for name in ("@eaDir", "__MACOSX", "$RECYCLE.BIN", ".Trashes", "System Volume Information"):
        touch(tmp_path / name, "vocals.wav")
    touch(tmp_path / "song", "vocals.wav", "._vocals.wav", "._bass.wav")
    assert [f.name for f in files.folders(tmp_path)] == ["song"]
    assert set(files.stem_files(files.audio_files(tmp_path / "song"))) == {"vocals"}


def test_two_models_in_one_folder_are_refused(tmp_path):
    folder = touch(tmp_path, "x_(Vocals)_one.wav", "x_(Vocals)_two.wav")
    with pytest.raises(AudioError, match="both claim to be vocals"):
        files.stem_files(files.audio_files(folder), "x")


def test_a_plain_name_and_a_lossless_format_come_first(tmp_path):
    folder = touch(tmp_path, "vocals.mp3", "vocals.flac", "x_vocals.wav")
    assert files.stem_files(files.audio_files(folder))["vocals"].name == "vocals.flac"


OH_NO = ("vocals", "drums", "bass", "other")


@pytest.mark.parametrize(
    ("folder", "names", "track", "stems"),
    [
        # "No_vocals" is a name of the accompaniment, and "Oh No" one of a song.
        ("x", [f"PR - Oh No_{s}.wav" for s in OH_NO], "PR - Oh No", OH_NO),
        ("PR - Oh No", [f"PR - Oh No_{s}.wav" for s in OH_NO], None, OH_NO),
        ("x", ["Oh No_vocals.wav"], None, ["vocals"]),
        ("x", ["Living Without.vocals.wav"], None, ["vocals"]),
        ("x", ["All That Bass_guitar.flac"], None, ["guitar"]),
        ("x", ["Oh-No-vocals.wav", "Oh-No-drums.wav"], None, ["vocals", "drums"]),
        ("x", ["Oh No_vocals.wav", "Oh No_no_vocals.wav"], None, ["vocals", "accompaniment"]),
        ("Song", ["Song no_vocals.wav"], None, ["accompaniment"]),
        ("x", ["Song no_vocals.wav", "Song vocals.wav"], None, ["accompaniment", "vocals"]),
        ("x", ["Song_no_vocals.wav"], None, ["accompaniment"]),
        ("x", ["Song - no_vocals.wav"], None, ["accompaniment"]),
        ("x", ["Song_bass_guitar.wav", "Song_guitar.wav"], None, ["bass", "guitar"]),
        ("No", ["no_vocals.wav", "vocals.wav"], None, ["accompaniment", "vocals"]),
    ],
)
def test_a_word_of_the_song_before_the_stem_is_no_part_of_it(tmp_path, folder, names, track, stems):
    """The vocals of "PR - Oh No", a song of MUSDB18, were its accompaniment."""
    found = touch(tmp_path / folder, *names)
    assert set(files.stem_files(files.audio_files(found), track)) == set(stems)


def test_files_are_put_to_the_tracks_in_their_names(tmp_path):
    songs = ("PR - Oh No", "PR - Happy Daze", "Etc.")
    names = [f"{song}_{stem}.wav" for song in songs for stem in OH_NO]
    folder = touch(tmp_path, *names, "vocals.wav", "notes.wav")
    found = files.by_track(files.audio_files(folder))
    assert set(found) == {files.track_key(song) for song in songs}
    for song in songs:
        alike = found[files.track_key(song)]
        assert {p.name for p in alike} == {f"{song}_{stem}.wav" for stem in OH_NO}
