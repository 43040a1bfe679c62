"""Game music of Debian packages, with stand-ins for apt-get and dpkg-deb."""

from __future__ import annotations

import zipfile

import pytest

from benchmarks import game_music
from benchmarks.game_music import fetch
from benchsep.errors import UsageError


class Debian:
    """A release with some packages, each a list of files."""

    def __init__(self, packages, broken=False):
        self.packages, self.broken, self.calls = packages, broken, []

    def __call__(self, command, folder):
        self.calls.append(command)
        if command[:2] == ("apt-get", "download"):
            name = command[2]
            if name not in self.packages:
                return 100
            (folder / f"{name}_1_all.deb").write_text(name)
            return 0
        assert command[:2] == ("dpkg-deb", "-x")
        name = (folder / command[2]).read_text()
        docs = folder / command[3] / "usr/share/doc" / name
        docs.mkdir(parents=True)
        (docs / "copyright").write_text(f"licence of {name}")
        data = folder / command[3] / "usr/share/games"
        data.mkdir(parents=True)
        for file in self.packages[name]:
            if file.endswith(".pk3"):
                with zipfile.ZipFile(data / file, "w") as archive:
                    archive.writestr("sound/inner.ogg", "inner")
                    archive.writestr("maps/readme.txt", "no music")
            else:
                (data / file).write_text(file)
        return int(self.broken)


def test_recordings_and_licence_of_a_package(tmp_path):
    debian = Debian({"new-music": ["a.ogg", "cover.png", "pack.pk3"]})
    made = fetch(tmp_path, ("old-music", "new-music"), debian)
    assert made == tmp_path / "new-music"
    assert {p.name for p in made.iterdir()} == {"a.ogg", "inner.ogg", "copyright"}
    assert (made / "inner.ogg").read_text() == "inner"
    assert (made / "copyright").read_text() == "licence of new-music"
    before = len(debian.calls)
    assert fetch(tmp_path, ("old-music", "new-music"), debian) == made
    assert len(debian.calls) == before
    assert [p.name for p in tmp_path.iterdir()] == ["new-music"]


@pytest.mark.parametrize(
    ("names", "files", "broken", "said"),
    [
        (("none",), ["a.ogg"], False, "cannot download none; run `apt-get update`"),
        (("music",), ["a.txt"], False, "music holds no recordings"),
        (("music",), ["a.ogg"], True, "cannot unpack music_1_all.deb"),
    ],
)
def test_what_cannot_be_used_leaves_no_folder(tmp_path, names, files, broken, said):
    with pytest.raises(UsageError, match=said):
        fetch(tmp_path, names, Debian({"music": files}, broken))
    assert not list(tmp_path.iterdir())


def test_other_systems_are_told_what_is_expected(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(game_music.shutil, "which", lambda program: None)
    assert game_music.main([str(tmp_path / "music")]) == 2
    assert "expected Debian or Ubuntu" in capsys.readouterr().err
    assert not (tmp_path / "music").exists()
