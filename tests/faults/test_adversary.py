"""Systems and metrics that cheat or go wrong in ways that no error shows, and unlucky folders.

Each test runs in the process (``inline``) where the process is not what is attacked. The attacks
that need a worker are modes of :mod:`tests.faults.test_attacks`.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchsep
from benchsep import registry
from benchsep._util.digest import canonical
from benchsep.audio import STEMS, Audio, read_audio, write_audio
from benchsep.errors import AudioError, BenchsepError, StoreError
from benchsep.metrics.metric import Score, ValueTraits
from benchsep.metrics.sdr import USDR
from benchsep.runner import loaded_system
from benchsep.runner.execute import separate_job
from benchsep.runner.loaded_track import load_track
from benchsep.runner.plan import make_plan
from benchsep.runner.store import Store
from benchsep.runner.suite import load_suite
from benchsep.systems.contract import SystemInfo
from tests.faults.conftest import LONG
from tests.helpers.noise import noise_songs
from tests.runner.test_record import stored

RATE = 8000


class Lying(Audio):
    """Says that it is as long as it should be."""

    frames = property(lambda self: 4000)  # type: ignore[assignment]


def late_nan(x: np.ndarray) -> Audio:
    audio = Audio(x.copy(), RATE)
    audio.samples[0, 7] = np.nan
    return audio


def other_type(x: np.ndarray) -> Audio:
    audio = Audio(x, RATE)
    object.__setattr__(audio, "samples", x.astype(complex))
    return audio


RETURNS: dict[str, tuple[Any, str]] = {
    "float64": (lambda x: Audio(x.astype(np.float64), RATE), ""),
    "half": (lambda x: Audio(x.astype(np.float16).astype(np.float32), RATE), ""),
    "fortran": (lambda x: Audio(np.asfortranarray(x), RATE), ""),
    "backwards view": (lambda x: Audio(x[:, ::-1][:, ::-1], RATE), ""),
    "every second": (lambda x: Audio(np.repeat(x, 2, 1)[:, ::2], RATE), ""),
    "read only": (lambda x: Audio(np.frombuffer(x.tobytes(), "f4").reshape(x.shape), RATE), ""),
    "mono": (lambda x: Audio(x.mean(0, keepdims=True), RATE), ""),
    "list": (lambda x: Audio(x.tolist(), RATE), ""),
    "complex": (lambda x: Audio(x + 1j, RATE), "complex.*expected real numbers"),
    "text": (lambda x: Audio(x.astype(str), RATE), "<U.*expected real numbers"),
    "objects": (lambda x: Audio(x.astype(object), RATE), "object, expected real numbers"),
    "NaN after it was made": (late_nan, "1 of 8000 samples are NaN"),
    "type after it was made": (other_type, "complex128, expected real numbers"),
    "length that lies": (lambda x: Lying(x[:, :-9], RATE), "3991 frames and the mixture 4000"),
    "transposed": (lambda x: Audio(x.T, RATE), "the axes look swapped"),
    "one frame more": (lambda x: Audio(np.pad(x, ((0, 0), (0, 1))), RATE), "4001 frames"),
    "three channels": (lambda x: Audio(np.vstack([x, x[:1]]), RATE), "3 channels"),
    "half the rate": (lambda x: Audio(x, RATE // 2), "4000 Hz and the mixture at 8000"),
    "infinite in float32": (lambda x: Audio(x.astype(float) * 1e300, RATE), "NaN|overflow"),
    "no array": (lambda x: x, "is ndarray, expected Audio"),
    "a class": (lambda x: Audio, "is type, expected Audio"),
}  # fmt: skip
"""What a system returns for its vocals, and what is said of it; empty: the values are the usual."""
RAISE = ("complex", "text", "objects", "transposed", "infinite in float32")
"""Audio is not made of these: the system itself fails."""


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    return noise_songs(tmp_path / "songs", ("one", "two"))


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch):
    """Registers a system or a metric in this process."""

    def add(kind: str, name: str, target: Any) -> None:
        monkeypatch.setitem(registry._local[kind], name, target)
        loaded_system._systems.clear()

    yield add
    loaded_system._systems.clear()


def compute(out: Path, songs: Path, *systems: str, **asked: Any) -> dict[tuple, tuple]:
    """``(system, track, metric, stem)`` to value and status."""
    asked = {"metrics": ("usdr",), "yardsticks": False, "inline": True, **asked}
    benchsep.run(out=out, dataset=f"folder:{songs}", systems=systems, **asked)
    found = benchsep.load_run(out)
    return {(c.system, c.track, c.metric, c.stem): (c.value, c.status) for c in found.itertuples()}


def system(separate, name: str = "odd", **declared: Any) -> type:
    """A system whose ``separate`` is the function."""

    class Odd:
        def __init__(self, device: str = "cpu") -> None:
            self.info = SystemInfo(name, "discriminative", **declared)

        def separate(self, mixture: Audio, *, seed: int, **more: Any) -> dict[str, Audio]:
            return separate(self, mixture, seed, more)

    return Odd


def quarters(mixture: Audio) -> dict[str, Audio]:
    return {stem: Audio(mixture.samples / 4, mixture.rate) for stem in STEMS}


@pytest.mark.parametrize("what", RETURNS)
def test_what_a_system_returns_has_its_value_or_its_reason(songs, tmp_path, plugin, what):
    """One stem is odd; the three others and the other system have their values."""
    made, says = RETURNS[what]

    def separate(_, mixture, seed, more):
        return {**quarters(mixture), "vocals": made(mixture.samples / 4)}

    plugin("system", "odd", system(separate))
    plugin("system", "good", system(lambda s, m, seed, more: quarters(m), "good"))
    found = compute(tmp_path / "run", songs, "odd", "good", tracks=("one",))
    value, status = found["odd", "one", "usdr", "vocals"]
    good = found["good", "one", "usdr", "vocals"][0]
    if says:
        assert status.startswith("failed") and re.search(says, status), status
    else:
        near = 1.0 if what in ("half", "mono") else 1e-5
        assert status == "ok" and value == pytest.approx(good, abs=near)
    others = {found[name, "one", "usdr", stem] for name in ("good", "odd") for stem in STEMS[1:]}
    if what not in RAISE:
        assert {status for _, status in others} == {"ok"} and len(others) == 3


def test_a_system_that_changes_what_it_says_of_itself_is_given_what_was_planned(
    songs, tmp_path, plugin
):
    """It says that it is an oracle only once it is asked to separate: it gets no true stems."""

    class Cheat:
        def __init__(self, device: str = "cpu") -> None:
            self.asked = 0

        @property
        def info(self) -> SystemInfo:
            self.asked += 1
            return SystemInfo("cheat", "discriminative", needs_references=self.asked > 1)

        def separate(self, mixture: Audio, *, seed: int, references: Any = None) -> Any:
            return references or quarters(mixture)

    plugin("system", "cheat", Cheat)
    found = compute(tmp_path / "run", songs, "cheat")
    assert all(value < 20 for value, _ in found.values())


def test_buffers_that_are_used_again_do_not_change_the_draw_before(songs, tmp_path, plugin):
    def separate(self, mixture, seed, more):
        if not hasattr(self, "kept"):
            self.kept = quarters(mixture)
        for audio in self.kept.values():
            audio.samples[:] = np.random.default_rng(seed).normal(0, 0.1, audio.samples.shape)
        return self.kept

    plugin("system", "odd", system(separate, deterministic=False))
    suite = load_suite(None, dataset=f"folder:{songs}", systems=("odd",), metrics=("usdr",),
                       yardsticks=False, inline=True, draws=2)  # fmt: skip
    job = make_plan(suite, Store(tmp_path / "run")).jobs[0]
    draws = separate_job(job, load_track(job.track), Store(tmp_path / "run"))
    one, two = (draws[n].estimates["vocals"].samples for n in (0, 1))
    assert not np.array_equal(one, two)
    assert np.array_equal(
        one, np.float32(np.random.default_rng(job.seed_for(0)).normal(0, 0.1, one.shape))
    )


def test_a_system_that_stops_the_clock_is_as_slow_as_it_is(songs, tmp_path, plugin, monkeypatch):
    def separate(self, mixture, seed, more):
        monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
        time.sleep(0.05)
        return quarters(mixture)

    plugin("system", "odd", system(separate))
    compute(tmp_path / "run", songs, "odd", tracks=("one",))
    assert Store(tmp_path / "run").records()[0].draws[0].seconds >= 0.05


def test_a_clock_that_runs_backwards_changes_no_cell(songs, tmp_path, monkeypatch):
    expected = compute(tmp_path / "run", songs, "mixture")
    now = time.time()
    hours = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: now - 3600 * next(hours))
    assert compute(tmp_path / "back", songs, "mixture") == expected
    assert not make_plan_of(tmp_path / "back", songs)
    assert not (tmp_path / "back" / "claims").exists()


def make_plan_of(out: Path, songs: Path) -> list:
    suite = load_suite(None, dataset=f"folder:{songs}", systems=("mixture",), metrics=("usdr",),
                       yardsticks=False, inline=True)  # fmt: skip
    return make_plan(suite, Store(out)).jobs


# -- metrics ------------------------------------------------------------------------------------


class Spoiler(USDR):
    """Writes zeros into all that it gets."""

    name = "spoiler"
    values = (ValueTraits("", 1, "dB", None, None),)

    def score_track(self, references, estimates, stems):
        for audio in (*estimates.values(), *references.stems.values(), references.mixture):
            audio.samples[:] = 0
        estimates.clear()
        return {stem: {"": Score(1.0)} for stem in stems}


def test_a_metric_that_writes_into_its_input_moves_no_other_value(songs, tmp_path, plugin):
    plugin("metric", "spoiler", Spoiler)
    alone = compute(tmp_path / "alone", songs, "mixture", "oracle-irm")
    found = compute(tmp_path / "run", songs, "mixture", "oracle-irm", metrics=("spoiler", "usdr"))
    assert {k: v for k, v in found.items() if k[2] == "usdr"} == alone
    assert {v for k, v in found.items() if k[2] == "spoiler"} == {(1.0, "ok")}


ANSWERS: dict[str, tuple[Any, str]] = {
    "nan": (Score(float("nan")), "not_finite"),
    "inf": (Score(float("-inf")), "not_finite"),
    "nothing": (Score(None), "failed: the metric gave no value"),
    "text": (Score("3.2"), "failed: the metric's answer is no score: TypeError"),
    "large": (Score(10**400), "failed: the metric's answer is no score: OverflowError"),
    "complex": (Score(1j), "failed: the metric's answer is no score: TypeError"),
    "array": (Score(np.ones(2)), "failed: the metric's answer is no score: "),
    "frames": (Score(1.0, "ok", 3), "failed: the metric's answer is no score: TypeError"),
    "status": (Score(1.0, "fine"), "failed: unknown status"),
    "no status": (Score(1.0, None), "failed: unknown status"),
    "number": (1.0, "failed: the metric's answer is no score: AttributeError"),
    "float32": (Score(np.float32(1.5)), "ok"),
    "long": (Score.missing("failed: " + "x" * 10**6), "failed: xxx"),
}


def test_what_a_metric_answers_is_a_cell_with_a_value_or_a_reason(songs, tmp_path, plugin):
    for name, (answer, _) in ANSWERS.items():

        class Odd(USDR):
            values = (ValueTraits("", 1, "dB", None, None),)

            def score_track(self, references, estimates, stems, answer=answer):
                return {stem: {"": answer} for stem in stems}

        Odd.name = f"m-{name.replace(' ', '-')}"
        plugin("metric", Odd.name, Odd)
    names = tuple(f"m-{name.replace(' ', '-')}" for name in ANSWERS)
    found = compute(tmp_path / "run", songs, "mixture", metrics=(*names, "usdr"), tracks=("one",))
    for (_, _, metric, stem), (value, status) in found.items():
        if metric != "usdr":
            expected = next(
                e for n, (_, e) in ANSWERS.items() if f"m-{n.replace(' ', '-')}" == metric
            )
            assert status.startswith(expected) and len(status) < 5000, (metric, stem, status)
            assert np.isfinite(value) == (status == "ok"), metric
        else:
            assert status == "ok"


# -- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "moved", "cells deleted"])
def test_a_folder_that_goes_while_a_run_is_at_work_is_no_success(songs, tmp_path, plugin, how):
    run, done = tmp_path / "run", []

    def separate(self, mixture, seed, more):
        done.append(1)
        if len(done) == 3:  # after the call that warms up, and the first song
            if how == "moved":
                run.rename(tmp_path / "moved")
            else:
                shutil.rmtree(run / "cells" if how == "cells deleted" else run)
        return quarters(mixture)

    plugin("system", "odd", system(separate))
    with pytest.raises(StoreError, match=r"1 of 2 records are gone, e\.g\. of odd on 'one'"):
        compute(run, songs, "odd")
    done.clear()
    plugin("system", "odd", system(lambda s, m, seed, more: quarters(m)))
    found = compute(run, songs, "odd")
    assert len(found) == 8 and {status for _, status in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("other", "field"),
    [({"seed": 7}, "seed"), ({"draws": 2}, "draws"), ({"tracks": ("two",)}, "tracks"),
     ({"metrics": ("usdr", "lsd")}, "")],
)  # fmt: skip
def test_two_runs_with_different_settings_in_one_folder_are_told_apart(
    songs, tmp_path, plugin, capsys, other, field
):
    """The second one works while the first does; both end, and it is said that they clash."""
    run, begun = tmp_path / "run", []

    def separate(self, mixture, seed, more):
        if not begun:
            begun.append(1)
            compute(run, songs, "mixture", **other)
        return quarters(mixture)

    plugin("system", "odd", system(separate))
    found = compute(run, songs, "odd", tracks=("one",)) if field == "tracks" else compute(
        run, songs, "odd")  # fmt: skip
    said = capsys.readouterr().err
    assert ("another run with other settings" in said) == bool(field) and field in said
    assert not {k: v for k, v in found.items() if v[1] != "ok"}


def test_a_record_cut_at_any_byte_is_never_a_record(tmp_path, sizes):
    from benchsep.runner.record import Record

    store = Store(tmp_path)
    record = Record.from_json(stored())
    store.write(record)
    path = store.path("s", "t")
    data = path.read_bytes()
    for length in range(len(data) - 1):  # the last byte is the end of the last line
        path.write_bytes(data[:length])
        assert store.read("s", "t") is None and store.sheet("s", "t") is None, length
    for at in range(0, len(data), sizes(5, 1)):
        path.write_bytes(data[:at] + b"\x00" + data[at + 1 :])
        assert store.read("s", "t") in (None, record), at


def test_what_is_no_file_among_the_records_is_not_waited_for(songs, tmp_path, capsys):
    expected = compute(tmp_path / "run", songs, "mixture")
    cells = next((tmp_path / "run" / "cells").iterdir())
    os.mkfifo(cells / "pipe.json")
    (cells / "loop.json").symlink_to(cells / "loop.json")
    (cells / "folder.json").mkdir()
    (cells / "again.json").hardlink_to(cells / "one.json")
    (cells / "sparse.json").touch()
    os.truncate(cells / "sparse.json", 1 << 20)
    found = {(c.system, c.track, c.metric, c.stem): (c.value, c.status)
             for c in benchsep.load_run(tmp_path / "run").itertuples()}  # fmt: skip
    assert found == expected
    said = capsys.readouterr().err
    for name in ("folder.json", "again.json", "sparse.json"):
        assert name in said, name


NAMES = (
    "new\nline", "tab\tand \x1b[31mred", "-o", "--help", "; rm -rf ~", "%s{0}$HOME`id`", "a,b\"c'd",
    "CON", "aux.txt", "a dot.", " both ends ", "\u00e9", "e\u0301", "É", "ß", "SS",
    "\u202egnp.exe", "\u200b", "名前" * 40, "x" * 240, "~", "..hidden", "a" + "\u0301" * 60,
    "Song", "song", "SONG", "\ufeffbom", "emoji 🎵",
)  # fmt: skip


def test_a_track_may_have_any_name_that_a_folder_has(songs, tmp_path):
    """Control characters, options, normal forms, cases, 240 bytes: a record each."""
    root = tmp_path / "named"
    for name in NAMES:
        (root / name).mkdir(parents=True)
        for path in (songs / "one").iterdir():
            shutil.copyfile(path, root / name / path.name)
    asked = {"keep_estimates": "flac", "metrics": ("usdr",)}
    found = compute(tmp_path / "run", root, "mixture", **asked)
    assert {track for _, track, _, _ in found} == set(NAMES)
    assert {status for _, status in found.values()} == {"ok"}
    assert len({value for (_, _, _, stem), (value, _) in found.items() if stem == "vocals"}) == 1
    files = [p.relative_to(tmp_path / "run") for p in (tmp_path / "run").rglob("*.json")]
    folded = {unicodedata.normalize("NFC", str(p)).casefold() for p in files}
    assert len(files) == len(folded) == len(NAMES) + 1
    # As estimates of `dir:`, each is found by its own spelling.
    mine = compute(tmp_path / "run-2", root, f"mine=dir:{root}", metrics=("usdr",))
    assert {track for _, track, _, _ in mine} == set(NAMES)
    assert {status for _, status in mine.values()} == {"ok"}


def test_a_folder_whose_path_is_too_long_is_named(songs, tmp_path):
    for out in (tmp_path / ("x" * 300), tmp_path.joinpath(*["y" * 200] * 30)):
        with pytest.raises((BenchsepError, OSError), match=r"xxx|yyy"):
            compute(out, songs, "mixture")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises((BenchsepError, OSError), match="loop"):
        compute(loop, songs, "mixture")


@pytest.mark.parametrize("what", ["fifo", "device", "folder", "socket", "dead link"])
def test_what_is_no_file_in_place_of_a_stem_is_named_at_once(songs, tmp_path, what):
    import socket

    path = songs / "two" / "bass.wav"
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "folder":
        path.mkdir()
    elif what == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # its path may be too long for a socket
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind("bass.wav")
        finally:
            os.chdir(here)
    else:
        path.symlink_to(tmp_path / "nowhere")
    found = compute(tmp_path / "run", songs, "mixture")
    assert {status for (_, track, _, _), (_, status) in found.items() if track == "one"} == {"ok"}
    bad = {status for (_, track, _, _), (_, status) in found.items() if track == "two"}
    assert all("bass.wav is missing" in status for status in bad), bad
    reason = "a folder, not an audio file" if what == "folder" else "no such file"
    with pytest.raises(AudioError, match=rf"bass\.wav: {reason}"):
        read_audio(path)


CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


@pytest.mark.parametrize("code", CODES if LONG else CODES[:1], ids=os.strerror)
def test_an_error_at_any_write_names_the_file_and_loses_nothing(songs, tmp_path, code):
    """A disk that is full (broken, out of quota, read-only) at the n-th file that is opened."""
    expected = compute(tmp_path / "whole", songs, "mixture")
    faults = Fault(str(tmp_path / "run"), code)
    said = 0
    for at in range(1, 40):
        faults.arm(at)
        try:
            compute(tmp_path / "run", songs, "mixture")
        except (BenchsepError, OSError) as error:
            said += 1
            assert str(tmp_path / "run") in str(error) and os.strerror(code) in str(error)
        finally:
            armed = faults.disarm()
        if armed:  # so many operations do not happen
            break
        assert not [p for p in (tmp_path / "run").rglob("*.partial*")]
        assert compute(tmp_path / "run", songs, "mixture") == expected
        shutil.rmtree(tmp_path / "run")
    assert 4 <= said == at - 1


class Fault:
    """Makes the n-th opening for writing below a folder fail; installed once, as hooks stay."""

    hooks: list[Fault] = []  # noqa: RUF012

    def __init__(self, folder: str, code: int) -> None:
        self.folder, self.code, self.left = folder, code, 0
        if not Fault.hooks:
            import sys

            sys.addaudithook(lambda event, args: Fault.hooks[-1](event, args))
        Fault.hooks.append(self)

    def arm(self, at: int) -> None:
        self.left = at

    def disarm(self) -> bool:
        """Whether it did not happen."""
        left, self.left = self.left, 0
        return left > 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if (
            not self.left
            or event != "open"
            or threading.current_thread() is not threading.main_thread()
        ):
            return
        path, _, flags = args
        if not isinstance(path, str) or not path.startswith(self.folder):
            return
        if not (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        self.left -= 1
        if not self.left:
            raise OSError(self.code, os.strerror(self.code), path)


def test_results_are_the_same_whatever_lies_around(songs, tmp_path):
    """Foreign files in the run folder, in the songs' folder, and an old manifest of nobody."""
    expected = compute(tmp_path / "run", songs, "mixture")
    other = tmp_path / "other"
    (other / "cells" / "mixture").mkdir(parents=True)
    (other / "cells" / "mixture" / "three.json").write_text(canonical({"format": 1}))
    (other / "cells" / "notes.txt").write_text("mine")
    (other / "claims").mkdir()
    claim = other / "claims" / ("0" * 32)
    claim.write_text("")
    os.utime(claim, (1, 1))
    (songs / "Thumbs.db").write_text("x")
    (songs / "._one").mkdir()
    (songs / "empty").mkdir()
    assert compute(other, songs, "mixture") == expected
    assert (other / "cells" / "notes.txt").read_text() == "mine"


# -- songs in another scale ---------------------------------------------------------------------


@pytest.mark.parametrize("loud", ["vocals", "mixture"])
def test_a_song_in_16_bit_scale_has_no_values(songs, tmp_path, plugin, loud):
    """Its estimates had 0.0003 dB, or a nearly perfect logWMSE, with status ok."""
    plugin("system", "good", system(lambda s, m, seed, more: quarters(m), "good"))
    path = songs / "one" / f"{loud}.wav"
    write_audio(path, Audio(read_audio(songs / "one" / "vocals.wav").samples * 32768, RATE))
    found = compute(tmp_path / "run", songs, "good", metrics=("usdr", "logwmse"))
    of_song: dict[str, set[str]] = {}
    for (_, song, _, _), (_, said) in found.items():
        of_song.setdefault(song, set()).add(said)
    assert of_song["two"] == {"ok"}
    (status,) = of_song["one"]
    assert f"DatasetError: {loud}: its largest sample is" in status and "16-bit" in status
