"""What the signals do not have, and what a machine lacks: each kind asked for as it should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

import benchsep
from benchsep import registry
from benchsep._util.digest import canonical, digest
from benchsep.audio import STEMS, Audio
from benchsep.cli.app import app
from benchsep.errors import FormatError, Unavailable, Undefined
from benchsep.metrics.metric import Score, ValueTraits
from benchsep.metrics.stems import score_each, score_pairs, score_prepared
from benchsep.runner.formats import as_now
from benchsep.runner.store import Store
from benchsep.systems.contract import SystemInfo
from tests.helpers.noise import noise_songs

RATE = 8000
FRAMES = round(1.1 * RATE)


class Counted:
    """A system that counts the separations of songs; a warm-up has another length."""

    info = SystemInfo("counted", "discriminative", checkpoint_sha256="ab" * 32)
    calls = 0

    def __init__(self, device: str = "cpu") -> None:
        pass

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        type(self).calls += mixture.frames == FRAMES
        return {s: Audio(mixture.samples / 4, mixture.rate) for s in STEMS}


class Picky:
    """A plugin's metric: answers as a test says."""

    name, version = "picky", "1"
    values = (ValueTraits("", 1, "dB", None, None),)
    rate, channels, domain = None, "any", "any"
    default_stems, needs_reference, default = STEMS, True, None
    licence, source = "MIT", "here"
    lacks = ""
    answer: ClassVar[Callable[[str], Score]] = lambda stem: Score(1.0)
    whole: ClassVar[Exception | None] = None

    def settings(self):
        return {}

    def available(self):
        return type(self).lacks

    def score_track(self, references, estimates, stems):
        if type(self).whole is not None:
            raise type(self).whole

        def score(reference, estimate, stem):
            return {"": type(self).answer(stem)}

        return score_pairs(self, references, estimates, stems, score)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch):
    registry.register("system", "counted", Counted)
    registry.register("metric", "picky", Picky)
    for name, value in (("lacks", ""), ("whole", None), ("answer", lambda stem: Score(1.0))):
        monkeypatch.setattr(Picky, name, value)
    monkeypatch.setattr(Counted, "calls", 0)
    yield
    registry.unregister("system", "counted")
    registry.unregister("metric", "picky")


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_songs(tmp_path_factory.mktemp("songs"), ("one",), FRAMES / RATE, RATE)


def run(songs: Path, out: Path) -> dict[str, str]:
    """Stem to the status of its cell."""
    cells = benchsep.run(
        systems=["counted"], metrics=["picky"], dataset=f"folder:{songs}", out=out,
        yardsticks=False, inline=True,
    ).cells()  # fmt: skip
    return dict(zip(cells["stem"], cells["status"], strict=True))


def raising(error: Exception) -> Callable[[str], Score]:
    def answer(stem: str) -> Score:
        if stem == "drums":
            raise error
        return Score(1.0)

    return answer


def test_what_the_signals_do_not_have_is_final_whatever_the_words(songs, tmp_path):
    Picky.answer = raising(Undefined("weights absent, it sounds like"))
    expected = {**dict.fromkeys(STEMS, "ok"), "drums": "undefined: weights absent, it sounds like"}
    assert run(songs, tmp_path) == expected
    assert run(songs, tmp_path) == expected
    assert Counted.calls == 1


def test_what_is_absent_here_is_asked_again_whatever_the_words(songs, tmp_path):
    Picky.answer = raising(Unavailable("no onset model: drums is silent"))
    first = run(songs, tmp_path)
    assert first["drums"] == "unavailable: no onset model: drums is silent"
    assert first["bass"] == "ok"
    Picky.answer = lambda stem: Score(2.0)
    assert set(run(songs, tmp_path).values()) == {"ok"}
    assert Counted.calls == 2


def test_a_metric_that_says_it_is_absent_is_not_asked_until_it_is_there(songs, tmp_path):
    Picky.lacks = "no mixture of experts here"
    assert set(run(songs, tmp_path).values()) == {"unavailable: no mixture of experts here"}
    run(songs, tmp_path)
    assert Counted.calls == 1
    Picky.lacks = ""
    assert set(run(songs, tmp_path).values()) == {"ok"}
    assert Counted.calls == 2


@pytest.mark.parametrize(
    ("error", "status", "calls"),
    [
        (Undefined("no chords"), "undefined: no chords", 1),
        (Undefined(), "undefined", 1),
        (Unavailable("no GPU"), "unavailable: no GPU", 2),
        (ValueError("a bug"), "failed: ValueError: a bug", 2),
    ],
    ids=lambda value: str(value),
)
def test_a_metric_may_raise_for_the_whole_song(songs, tmp_path, error, status, calls):
    Picky.whole = error
    assert set(run(songs, tmp_path).values()) == {status}
    assert set(run(songs, tmp_path).values()) == {status}
    assert Counted.calls == calls


def test_score_gives_the_same_statuses_and_says_that_nothing_was_scored(songs, capsys):
    Picky.answer = raising(Undefined("no chords"))
    song = next(path for path in songs.iterdir() if path.is_dir())
    frame = benchsep.score(song, song, metrics=["picky"])
    assert dict(zip(frame["stem"], frame["status"], strict=True))["drums"] == "undefined: no chords"
    Picky.whole = Undefined("no chords at all")
    frame = benchsep.score(song, song, metrics=["picky"])
    assert set(frame["status"]) == {"undefined: no chords at all"}
    done = CliRunner().invoke(app, ["score", str(song), str(song), "--metrics", "picky"])
    assert done.exit_code == 1 and "no value was computed" in done.output


def test_tables_tell_the_kind_and_the_reason(songs, tmp_path):
    Picky.whole = Undefined("no chords")
    run(songs, tmp_path / "run")
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "run")])
    assert shown.exit_code == 0, shown.output
    assert "undefined: no chords" in " ".join(shown.output.split())


# -- the loops of metrics ----------------------------------------------------------------------


def test_each_loop_keeps_the_exception_of_one_stem_to_that_stem():
    rng = np.random.default_rng(0)
    stems = {s: Audio(rng.normal(0, 0.1, (1, 400)).astype(np.float32), 8000) for s in STEMS[:2]}
    references = benchsep.metrics.metric.References(stems)

    def refused(audio, *rest):
        if np.array_equal(audio.samples, stems[STEMS[0]].samples):
            raise Unavailable("no network")
        return {"": Score(1.0)}

    each = score_each(Picky(), stems, STEMS[:2], refused)
    pairs = score_pairs(Picky(), references, stems, STEMS[:2], refused)
    for table in (each, pairs):
        assert [table[s][""].status for s in STEMS[:2]] == ["unavailable: no network", "ok"]


def test_a_reference_that_has_nothing_is_prepared_once_and_an_absent_network_again():
    audio = Audio(np.full((1, 400), 0.1, np.float32), 8000)
    references = benchsep.metrics.metric.References({"bass": audio})
    asked = []

    def prepare(reference):
        asked.append(1)
        raise error

    def table():
        score = score_prepared(
            Picky(), references, {"bass": audio}, ("bass",), prepare, lambda *_: {"": Score(1.0)}
        )
        return score["bass"][""].status

    error: Exception = Unavailable("no network")
    assert [table(), table()] == ["unavailable: no network"] * 2 and len(asked) == 2
    error = Undefined("no onset")
    assert [table(), table()] == ["undefined: no onset"] * 2 and len(asked) == 3


# -- stores of format 1 --------------------------------------------------------------------------


def as_format_1(root: Path, reason: str = "") -> None:
    """Write a store as benchsep 0.2 did: format 1, ``undefined`` was ``unavailable``."""
    for path in [root / "manifest.json", *root.glob("cells/*/*.json")]:
        body = {k: v for k, v in json.loads(path.read_text()).items() if k != "checksum"}
        body["format"] = 1
        for cell in body.get("cells", []):
            if cell["status"].startswith("undefined"):
                was = f": {reason}" if reason else cell["status"].removeprefix("undefined")
                cell["status"] = f"unavailable{was}"
        path.write_text(canonical({**body, "checksum": digest(body)}) + "\n")


def test_an_old_store_is_read_with_the_kinds_of_today_and_stays_done(songs, tmp_path):
    Picky.answer = raising(Undefined("no onset matched"))
    expected = run(songs, tmp_path / "run")
    as_format_1(tmp_path / "run")
    records = {p: p.read_bytes() for p in (tmp_path / "run" / "cells").rglob("*.json")}
    frame = benchsep.load_run(tmp_path / "run")
    assert dict(zip(frame["stem"], frame["status"], strict=True)) == expected
    (record,) = Store(tmp_path / "run").records()
    assert {c.stem: str(c.status) for c in record.cells} == expected
    assert run(songs, tmp_path / "run") == expected
    assert {p: p.read_bytes() for p in records} == records and Counted.calls == 1
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["format"] == 2


def test_a_plugins_reason_in_an_old_store_is_asked_for_once(songs, tmp_path):
    Picky.answer = raising(Undefined("no chord progression"))
    expected = run(songs, tmp_path)
    as_format_1(tmp_path)
    frame = benchsep.load_run(tmp_path)
    assert "unavailable: no chord progression" in set(frame["status"])
    for _ in range(3):
        assert run(songs, tmp_path) == expected
    assert Counted.calls == 2
    assert not list(tmp_path.rglob("*.corrupt*"))


def test_long_reasons_of_an_old_store_keep_their_texts(songs, tmp_path):
    names = ", ".join(f"stem {number}" for number in range(40))
    Picky.answer = raising(Undefined(f"the system gives no {names}"))
    expected = run(songs, tmp_path)
    as_format_1(tmp_path)
    (path,) = tmp_path.glob("cells/*/*.json")
    body = json.loads(path.read_text())
    assert body["texts"] == [] or len(body["texts"][0]) > 100
    for cell in body["cells"]:
        cell["status"] = cell["status"].replace("undefined", "unavailable")
    del body["checksum"]
    path.write_text(canonical({**body, "checksum": digest(body)}) + "\n")
    assert run(songs, tmp_path) == expected and Counted.calls == 1


@pytest.mark.parametrize(
    "cells", [[{}], [{"status": 3}], [3], {}, None, [{"status": "unavailablex"}]]
)
def test_an_old_record_that_is_none_is_damaged_and_left_alone(tmp_path, cells):
    path = tmp_path / "cells" / "a" / "b.json"
    path.parent.mkdir(parents=True)
    body = {"format": 1, "cells": cells}
    text = canonical({**body, "checksum": digest(body)})
    path.write_text(text)
    assert Store(tmp_path).read("a", "b") is None
    assert Store(tmp_path).records() == [] and path.read_text() == text


def test_why_an_old_record_is_none_names_what_was_found():
    with pytest.raises(ValueError, match="not a cell: KeyError: 'status'"):
        as_now({"format": 1, "cells": [{}]})
    with pytest.raises(ValueError, match="not a cell: TypeError"):
        as_now({"cells": None})
    same = {"format": 2, "cells": None}
    assert as_now(same) is same


def test_a_later_format_is_refused_with_those_that_are_read(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": 3}')
    with pytest.raises(FormatError, match=r"format 3, .* reads formats 1 and 2, and changed"):
        Store(tmp_path).manifest()
