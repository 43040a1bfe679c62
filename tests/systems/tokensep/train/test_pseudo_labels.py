from __future__ import annotations

import dataclasses
import json
import tarfile

import numpy as np
import pytest
import soundfile
from tokensep.errors import DataError
from tokensep.lm.config import STEMS
from tokensep.train import pseudo_labels as module
from tokensep.train.pseudo_labels import Settings, recordings

RATE = 8000
SHARE = {"vocals": 0.4, "drums": 0.3, "bass": 0.2, "other": 0.1}


def split(mixture, rate):
    return {s: SHARE[s] * mixture for s in STEMS}


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    (folder / "album").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, seconds in enumerate((9.0, 5.0, 4.0)):
        wave = rng.normal(0, 0.2, (int(seconds * RATE), 2))
        soundfile.write(str(folder / "album" / f"{number}.wav"), wave, RATE)
    soundfile.write(str(folder / "mono.flac"), rng.normal(0, 0.2, 3 * RATE), RATE)
    soundfile.write(str(folder / "quiet.wav"), np.zeros((3 * RATE, 2)), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF, not really")
    return folder


SETTINGS = Settings(shard_seconds=8.0, piece_seconds=4.0)


def work(music, out, label=split, settings=SETTINGS, **more):
    return module.run(music, out, lambda: label, "split", settings, **more)


def test_shards_give_back_what_the_teacher_said(music, tmp_path, capsys):
    summary = work(music, tmp_path / "out")
    assert summary["unreadable"] == 1 and summary["written"] == summary["shards"] > 1
    assert summary["dropped"] == 1  # the silent recording
    plan = capsys.readouterr().err.splitlines()[0]
    for fact in ("hours", "shards", "bytes", "device_hours_left"):
        assert fact in plan
    samples = list(module.stream(sorted((tmp_path / "out").glob("*.tar"))))
    first = next(s for s in samples if s.facts["file"].endswith("0.wav"))
    expected, _ = soundfile.read(str(music / "album" / "0.wav"), dtype="float32", stop=4 * RATE)
    np.testing.assert_allclose(first.mixture / first.facts["gain"], expected.T, atol=1e-4)
    for stem in STEMS:
        np.testing.assert_allclose(first.stems[stem], SHARE[stem] * first.mixture, atol=1e-4)
    seconds = sum(s.mixture.shape[1] for s in samples) / RATE
    # 4+4 of 9 s (a rest of 1 s is too short), 4 of 5 s, 4 s, 3 s
    assert seconds == pytest.approx(4 + 4 + 4 + 4 + 3)


def test_a_second_run_does_nothing_and_a_lost_shard_comes_back(music, tmp_path):
    out = tmp_path / "out"
    work(music, out)
    before = {p.name: p.read_bytes() for p in out.glob("*.tar")}
    calls = []

    def counting(mixture, rate):
        calls.append(1)
        return split(mixture, rate)

    again = work(music, out, counting)
    assert again["written"] == 0 and again["skipped"] == again["shards"] and len(calls) == 1
    (out / "shard-000001.tar").unlink()
    assert work(music, out)["written"] == 1
    assert {p.name: p.read_bytes() for p in out.glob("*.tar")} == before


def test_processes_share_the_work_without_speaking(music, tmp_path):
    work(music, tmp_path / "one")
    for rank in (1, 0):
        work(music, tmp_path / "two", settings=Settings(8.0, 4.0, rank=rank, world=2))
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / n).glob("*.tar")} for n in ("one", "two")
    )
    assert one == two


def test_a_killed_shard_is_not_there(music, tmp_path):
    out = tmp_path / "out"

    def dies(mixture, rate):
        if mixture.shape[1] == 3 * RATE:
            raise KeyboardInterrupt
        return split(mixture, rate)

    with pytest.raises(KeyboardInterrupt):
        work(music, out, dies)
    whole = sorted(out.glob("*.tar"))
    assert list(module.stream(whole))
    assert work(music, out)["skipped"] == len(whole)


def test_stems_that_miss_the_mixture_are_dropped_with_the_reason(music, tmp_path):
    def bad(mixture, rate):
        return {s: 0.1 * mixture for s in STEMS}

    with pytest.raises(DataError, match=r"6 of 6 pieces dropped; the first: album/0\.wav: residua"):
        work(music, tmp_path / "out", bad)
    assert list(module.stream(sorted((tmp_path / "out").glob("*.tar")))) == []
    facts = json.loads((tmp_path / "out" / "shard-000000.json").read_text())
    assert "residual 4.4 dB" in facts["dropped"][0]["reason"]


def test_some_dropped_pieces_are_counted_and_the_first_is_told(music, tmp_path, capsys):
    answers = iter([True, False])

    def at_first_good(mixture, rate):
        return split(mixture, rate) if next(answers, True) else {s: 0 * mixture for s in STEMS}

    settings = dataclasses.replace(SETTINGS, min_residual_db=3.0)
    summary = module.run(music, tmp_path / "out", lambda: at_first_good, "one", settings)
    assert summary["dropped"] + summary["kept"] == summary["pieces"] and summary["kept"]
    told = capsys.readouterr().err
    assert f"{summary['dropped']} of {summary['pieces']} pieces dropped; the first: " in told


def test_a_folder_of_recordings_that_is_not_there_makes_no_folder_of_shards(tmp_path):
    with pytest.raises(DataError, match="nothere: no such folder; expected a folder of recordings"):
        module.run(tmp_path / "nothere", tmp_path / "out", lambda: split, "one", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_the_residual_is_a_ratio_in_db():
    mixture = np.ones((1, 100), np.float32)
    assert module.residual_db(mixture, {"a": 0.9 * mixture}) == pytest.approx(20.0, abs=1e-3)
    assert module.residual_db(mixture, {"a": mixture}) == pytest.approx(100.0, abs=1e-3)


def test_another_teacher_does_not_mix_in(music, tmp_path):
    work(music, tmp_path / "out")
    with pytest.raises(DataError, match="other values of: teacher"):
        module.run(music, tmp_path / "out", lambda: split, "other", SETTINGS)


def test_a_plan_alone_writes_no_shard(music, tmp_path):
    summary = work(music, tmp_path / "out", plan_only=True)
    assert summary["written"] == 0 and not list((tmp_path / "out").glob("*.tar"))


def test_a_plan_alone_does_not_bind_the_folder(music, tmp_path):
    work(music, tmp_path / "out", plan_only=True)
    done = module.run(music, tmp_path / "out", lambda: split, "other", SETTINGS)
    assert done["written"] > 0


def test_nothing_to_label_and_broken_shards_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no audio of 2 s"):
        work(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(DataError, match="rank 2 of 2"):
        Settings(rank=2, world=2)
    (tmp_path / "bad.tar").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"bad\.tar is not a complete shard"):
        list(module.stream([tmp_path / "bad.tar"]))


def test_a_shard_is_read_as_a_stream(music, tmp_path, monkeypatch):
    """One sample at a time: the tar is opened for streaming, never listed."""
    work(music, tmp_path / "out")
    monkeypatch.setattr(tarfile.TarFile, "getmembers", lambda self: pytest.fail("listed"))
    iterator = module.stream(sorted((tmp_path / "out").glob("*.tar")))
    assert next(iterator).key == "shard-000000-00000"


def test_an_lm_trains_on_shards(music, tmp_path):
    from tokensep.lm.config import LMTrainConfig
    from tokensep.train.lm import train_lm

    from tests.helpers.lm_dummies import DummyCodec, tiny_config

    work(music, tmp_path / "out")
    shards = sorted((tmp_path / "out").glob("*.tar"))

    def go(shards, steps=2):
        train_lm(
            tmp_path / "lm",
            codec=DummyCodec(),
            store=None,
            shards=shards,
            config=tiny_config(),
            train=LMTrainConfig(batch=1, max_steps=steps, variants=1),
        )

    go(shards)
    assert (tmp_path / "lm" / "final" / "lm.safetensors").is_file()
    go(shards, steps=3)
    with pytest.raises(DataError, match=r"bank-train was made from other data .*\(shards differs"):
        go(shards[:-1], steps=4)


def test_an_mp3_without_a_header_of_its_length_is_cut_into_whole_pieces(tmp_path):
    from tests._util.test_decode import encode

    t = np.arange(9 * 44_100) / 44_100
    wave = np.tile(0.2 * np.sin(2 * np.pi * 220 * t), (2, 1)).astype(np.float32)
    (tmp_path / "music").mkdir()
    encode(tmp_path / "music" / "x.mp3", wave, "libmp3lame", {"write_xing": "0"})
    pieces, unreadable = module.find_pieces(tmp_path / "music", SETTINGS)
    assert not unreadable
    assert sum(piece.seconds for piece in pieces) == pytest.approx(9, abs=1.1)
    samples = [module.read_piece(piece) for piece in pieces]
    assert [s.shape for s in samples] == [(2, piece.frames) for piece in pieces]
    assert all(np.abs(s).max() > 0.1 for s in samples)


def train_on(shards, folder, **more):
    from tokensep.lm.config import LMTrainConfig
    from tokensep.train.token_sources import load_datasets

    from tests.helpers.lm_dummies import DummyCodec, tiny_config

    settings = LMTrainConfig(variants=more.pop("variants", 1), **more)
    return load_datasets(None, shards, DummyCodec(), tiny_config(), settings, folder)[0]


def test_two_folders_of_n_recordings_give_2n_songs(music, tmp_path):
    """The keys inside are the same in both; the folders' jobs tell them apart."""
    loud = Settings(8.0, 4.0, min_residual_db=9.0)
    work(music, tmp_path / "one")
    work(music, tmp_path / "two", settings=loud)
    shards = [p for n in ("one", "two") for p in module.shards_in(tmp_path / n)]
    alone = train_on(shards[: len(shards) // 2], tmp_path / "a")
    both = train_on(shards, tmp_path / "b")
    assert len(alone.songs) == 5 and len(both.songs) == 10
    assert len({clip.song for clip in both.clips}) == 10


def test_the_recorded_mixture_is_trained_on_if_asked_for(music, tmp_path):
    """A teacher that gives 0.9 of the mixture: the recording is 1/0.9 of the sum of its stems."""

    def quiet(mixture, rate):
        return {s: 0.9 * SHARE[s] * mixture for s in STEMS}

    work(music, tmp_path / "out", quiet)
    shards = module.shards_in(tmp_path / "out")
    kinds = ("sum", "recorded")
    banks = {m: train_on(shards, tmp_path / m, mixture=m, variants=3) for m in kinds}
    assert len(banks["recorded"].songs) == len(banks["sum"].songs) == 15
    crop_of = {m: b.crop(np.random.default_rng(4), remix=0.0, silent=0.0) for m, b in banks.items()}
    assert crop_of["sum"].residual is None and crop_of["recorded"].residual is not None
    untouched = banks["recorded"].windows(1)[0]
    # the level is that of the mixture that is trained on, so only their ratio is compared
    np.testing.assert_allclose(untouched.wave * 0.9, untouched.stems.sum(0), atol=2e-3)
    assert np.isfinite(crop_of["recorded"].wave).all()
    assert banks["recorded"].crop(np.random.default_rng(0), remix=1.0).residual is None
    assert not (banks["recorded"].code_sample() == 0).all(1).any()
    with pytest.raises(DataError, match="bank-train was made from other data or settings"):
        train_on(shards, tmp_path / "recorded", variants=3)


def test_the_job_holds_a_digest_of_its_pieces_and_older_jobs_continue(music, tmp_path):
    work(music, tmp_path / "out")
    path = tmp_path / "out" / "job.json"
    job = json.loads(path.read_text())
    assert job["pieces"]["count"] == 6 and len(job["pieces"]["sha256"]) == 64
    pieces = module.find_pieces(music, SETTINGS)[0]
    job["pieces"] = [[str(p.path.relative_to(music)), p.start, p.frames] for p in pieces]
    path.write_text(json.dumps(job))
    assert work(music, tmp_path / "out")["written"] == 0
    job["pieces"].pop()
    path.write_text(json.dumps(job))
    with pytest.raises(DataError, match="other values of: recordings"):
        work(music, tmp_path / "out")


def test_headers_are_read_once(music, tmp_path, monkeypatch):
    from tokensep.train.pseudo_labels import recordings

    opened = []
    length = recordings._length
    monkeypatch.setattr(recordings, "_length", lambda path: opened.append(path) or length(path))
    work(music, tmp_path / "out", plan_only=True)
    assert len(opened) == 6
    opened.clear()
    assert work(music, tmp_path / "out")["unreadable"] == 1 and not opened
    soundfile.write(str(music / "mono.flac"), np.ones(4 * RATE) * 0.1, RATE)
    with pytest.raises(DataError, match="other values of: recordings"):
        work(music, tmp_path / "out")
    assert [p.name for p in opened] == ["mono.flac"]


def test_flac_is_written_while_the_teacher_works_on(music, tmp_path, monkeypatch):
    """The first piece is still being written when the second is labelled."""
    import threading

    from tokensep.train.pseudo_labels import shard

    labelled, add = threading.Event(), shard.add_sample

    def slow(*arguments):
        assert labelled.wait(20)
        add(*arguments)

    def second(mixture, rate):
        calls.append(threading.current_thread())
        if len(calls) == 3:  # the first call measures the rate
            labelled.set()
        return split(mixture, rate)

    calls = []
    monkeypatch.setattr(shard, "add_sample", slow)
    work(music, tmp_path / "out", second)
    assert labelled.is_set() and len(list(module.stream(module.shards_in(tmp_path / "out")))) == 5


def test_a_recording_that_was_replaced_is_decoded_again(tmp_path, monkeypatch):
    """In one process: pieces of the file before were labelled."""
    path = tmp_path / "song.mp3"
    monkeypatch.setattr(recordings, "decode", lambda path: (np.array([[len(path.read_text())]]), 1))
    for text in ("a", "bb"):
        path.write_text(text)
        assert recordings.decoded(path)[0].item() == len(text)
