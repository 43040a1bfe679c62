"""The kinds of input that strangers and broken disks give us: valid seeds, and their readers.

A kind has seeds (valid examples), a way to damage them, and a reader that must either return or
raise one of our named errors.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.faults.mutate import damaged_bytes, damaged_tree, nested

ROOT = Path(__file__).parents[2]

RATES = (8_000, 22_050, 44_100, 48_000, 96_000, 192_000, 384_000)


@dataclass(frozen=True)
class Kind:
    """One family of inputs; ``share`` of 10,000 tries in the long campaign."""

    name: str
    share: int
    suffix: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], object]
    damage: Callable[[bytes, list[bytes], random.Random], bytes] = damaged_bytes


# -- audio --------------------------------------------------------------------------------------


def _signals() -> list[tuple[np.ndarray, int]]:
    """``[frames, channels]`` with rates: ordinary, tiny, wide, and floats at their edges."""
    rng = np.random.default_rng(0)
    made = [(rng.normal(0, 0.2, (900, c)).astype(np.float32), r)
            for c, r in zip((1, 2, 3, 4, 6, 8, 2), RATES, strict=True)]  # fmt: skip
    made += [(np.zeros((n, 2), np.float32), 44_100) for n in (0, 1, 2)]
    edges = (np.finfo(np.float32).max, 1e-42, np.nan, np.inf, -np.inf, 1e20)
    made += [(np.full((300, 2), v, np.float32), 44_100) for v in edges]
    return made


def _audio(container: str, subtypes: tuple[str, ...]) -> list[bytes]:
    found = []
    for samples, rate in _signals():
        for subtype in subtypes:
            if subtype in ("ULAW", "VORBIS") and (
                rate > 192_000 or not (np.abs(samples) < 2).all()
            ):
                continue  # libsndfile's own encoders crash here; benchsep writes neither
            buffer = io.BytesIO()
            try:
                soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
            except (soundfile.LibsndfileError, AssertionError):
                continue  # FLAC knows fewer rates and channels
            found.append(buffer.getvalue())
    return found


def wav_seeds(work: Path) -> list[bytes]:
    found = _audio("WAV", ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW"))
    return found + _audio("WAVEX", ("PCM_16",)) + _audio("RF64", ("PCM_16",))


def flac_seeds(work: Path) -> list[bytes]:
    return _audio("FLAC", ("PCM_16", "PCM_24")) + _audio("OGG", ("VORBIS",))


def lying_header(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """WAV: a consistent header over 100 bytes that claims up to 4 GiB; else plain damage."""
    if rng.random() > 0.15:
        return damaged_bytes(data, others, rng)
    size = rng.choice((0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFF0, 10_000_000))
    kind, channels = rng.choice((1, 3)), rng.choice((0, 1, 2, 255, 65_535))
    rate, bits = rng.choice((*RATES, 0, 1, 2**32 - 1)), rng.choice((0, 8, 16, 24, 32, 64))
    block = channels * bits // 8 & 0xFFFF
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, 0, block, bits)
    return (
        struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + fmt + struct.pack("<4sI", b"data", size)
    ) + rng.randbytes(100)


def read_sound(path: Path) -> object:
    """Through every reader of single files; what can be read is separated and scored."""
    from tokensep.train.pseudo_labels import Settings, find_pieces

    from benchsep.audio import read_audio
    from benchsep.runner.score import score
    from benchsep.systems.estimate import checked_estimates
    from benchsep.systems.spec import load_system

    find_pieces(path.parent, Settings(piece_seconds=0.01, min_seconds=0.001))
    audio = read_audio(path)
    system = load_system("mixture")
    estimates = checked_estimates(system.separate(audio, seed=0), system.info, audio)
    return score(dict.fromkeys(estimates, audio), estimates, metrics=["usdr", "sisdr"])


def mp4_seeds(work: Path) -> list[bytes]:
    import av

    found = []
    for seconds, streams in ((0.3, 5), (0.1, 5), (0.2, 2)):
        path = work / "seed.stem.mp4"
        with av.open(str(path), "w", format="mp4") as container:
            outs = [container.add_stream("aac", rate=44_100) for _ in range(streams)]
            rng = np.random.default_rng(0)
            for out in outs:
                samples = rng.normal(0, 0.1, (2, round(seconds * 44_100))).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
                frame.sample_rate = 44_100
                container.mux([p for f in (frame, None) for p in out.encode(f)])
        found.append(path.read_bytes())
    return found


def read_mp4(path: Path) -> object:
    from tokensep.errors import DataError
    from tokensep.train.data import decode

    from benchsep.datasets.musdb import load_stem_mp4

    with contextlib.suppress(DataError):
        decode(path, 1)
    return load_stem_mp4(path)


# -- texts --------------------------------------------------------------------------------------

SUITE = {
    "dataset": "clip", "systems": ["mixture", "reference", "oracle-irm:power=1"],
    "yardsticks": False, "metrics": ["usdr", "sisdr"], "stems": ["vocals", "bass"],
    "tracks": [], "limit": 1, "seed": 3, "draws": 2, "device": "cpu", "inline": True,
    "keep_estimates": "none", "overwrite": "missing", "fail_on_error": 0.1, "timeout": 60,
    "split": "test", "mixture": "sum", "root": None,
}  # fmt: skip


def suite_seeds(work: Path) -> list[bytes]:
    import yaml

    return [json.dumps(SUITE).encode(), yaml.safe_dump(SUITE).encode()]


def damaged_json(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """JSON and YAML: mostly the tree, sometimes the bytes, sometimes depth."""
    what = rng.random()
    if what < 0.03:
        return nested(rng)
    try:
        tree = json.loads(data)
    except ValueError:
        return damaged_bytes(data, others, rng)
    if what < 0.25:
        return damaged_bytes(data, others, rng)
    text = json.dumps(damaged_tree(tree, rng), ensure_ascii=rng.random() < 0.5)
    return text.encode("utf-8", errors="surrogatepass")


def read_suite(path: Path) -> object:
    from benchsep.runner.plan import make_plan
    from benchsep.runner.store import Store
    from benchsep.runner.suite import load_suite

    return make_plan(load_suite(path), Store(path.parent / "run"))


def museval_seeds(work: Path) -> list[bytes]:
    metrics = {"SDR": 1.0, "ISR": 2.0, "SIR": 3.0, "SAR": None}
    frames = [{"time": float(t), "duration": 1.0, "metrics": metrics} for t in range(3)]
    targets = [{"name": name, "frames": frames} for name in ("vocals", "drums")]
    return [json.dumps({"targets": targets, "museval_version": "0.4.1"}).encode()]


def read_museval(path: Path) -> object:
    from benchsep.imported.museval import import_runs

    folder = path.parent / "method" / "test"
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / "song.json")
    return import_runs(path.parent / "method")


def _example_run(work: Path) -> Path:
    """A real run folder, made once: two songs, two systems, cheap metrics."""
    import benchsep
    from tests.helpers.noise import noise_songs

    run = work / "example"
    if not run.exists():
        songs = noise_songs(work / "songs", ("one", "two"), seconds=0.2)
        benchsep.run(out=run, dataset=f"folder:{songs}", systems=("mixture", "reference"),
                     metrics=("usdr", "sisdr"), yardsticks=False, inline=True)  # fmt: skip
    return run


def baseline_seeds(work: Path) -> list[bytes]:
    from benchsep.gate.baseline import write_baseline
    from benchsep.gate.tolerance import Noise, Tolerance
    from benchsep.runner.frame import load_run
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in

    run = _example_run(work)
    frame, manifest = load_run(run), Store(run).manifest()
    write_baseline(
        frame, manifest, work / "baseline.json", traits=traits_in(frame, manifest),
        tolerances={"usdr": Tolerance(0.1, 0.1, "given")},
        measured={("mixture", "vocals", "sisdr"): Noise(0.1, 4, 3, 0.2)},
    )  # fmt: skip
    return [(work / "baseline.json").read_bytes()]


def read_baseline(path: Path) -> object:
    from benchsep.gate.baseline import read_baseline as read
    from benchsep.gate.check import check
    from benchsep.gate.render import render
    from benchsep.runner.frame import load_run
    from benchsep.runner.store import Store

    run = path.parents[1] / "example"
    found = check(load_run(run), Store(run).manifest(), read(path))
    return [render(found, form) for form in ("table", "md", "json", "junit", "github")]


def store_seeds(work: Path) -> list[bytes]:
    run = _example_run(work)
    cells = sorted((run / "cells").rglob("*.json"))
    return [(run / "manifest.json").read_bytes(), *(p.read_bytes() for p in cells)]


def damaged_record(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Half of the trees get a checksum that holds: edited by hand, or by another version."""
    from benchsep._util.digest import digest

    made = damaged_json(data, others, rng)
    try:
        tree = json.loads(made)
        if isinstance(tree, dict) and "checksum" in tree and rng.random() < 0.5:
            body = {k: v for k, v in tree.items() if k != "checksum"}
            made = json.dumps({**body, "checksum": digest(body)}).encode()
    except Exception:
        return made
    return made


def read_store(path: Path) -> object:
    """As one cell file and as the manifest of a run: loaded, tabulated, planned over."""
    import shutil

    from benchsep.report.run import load
    from benchsep.report.tables.render import render
    from benchsep.runner.frame import load_costs, load_run
    from benchsep.runner.plan import make_plan
    from benchsep.runner.store import Store
    from benchsep.runner.suite import load_suite

    run, data = path.parent / "run", path.read_bytes()
    if not run.exists():
        shutil.copytree(path.parents[1] / "example", run)
    cells = sorted((path.parents[1] / "example" / "cells").rglob("*.json"))
    victim = cells[0]
    target = run / "cells" / victim.parent.name / victim.name
    manifest = b'"suite"' in data or b'"checksum"' not in data
    shutil.copy(path.parents[1] / "example" / "manifest.json", run / "manifest.json")
    shutil.copy(victim, target)
    (run / "manifest.json" if manifest else target).write_bytes(data)
    load_run(run), load_costs(run)
    songs = path.parents[1] / "songs"
    suite = load_suite(None, dataset=f"folder:{songs}", systems=("mixture", "reference"),
                       metrics=("usdr", "sisdr"), yardsticks=False)  # fmt: skip
    make_plan(suite, Store(run))
    made = load(run, intervals=False).tables
    return [render(made, form) for form in ("terminal", "md")]


def rating_seeds(work: Path) -> list[bytes]:
    rng = random.Random(0)
    systems = {"a": "generative", "b": "discriminative", "c": "discriminative"}
    found = []
    for head in (
        ("file_id", "model_name", "model_type", "DMOS", "visqol", "sdr"),
        ("song", "system", "family", "rating", "usdr", "stem"),
        ("song", "stem", "system", "family", "kind", "rater", "rating", "trial"),
    ):
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(head)
        for song in ("x", "y", "z"):
            for system, family in systems.items():
                facts = {"song": song, "file_id": song, "system": system, "model_name": system,
                         "family": family, "model_type": family, "stem": "vocals",
                         "kind": "system", "rater": "r", "trial": "1",
                         "rating": rng.randint(0, 100), "DMOS": round(rng.uniform(1, 5), 2),
                         "visqol": round(rng.uniform(1, 5), 2), "sdr": rng.uniform(-5, 9),
                         "usdr": rng.uniform(-5, 9)}  # fmt: skip
                writer.writerow([facts[name] for name in head])
        found.append(buffer.getvalue().encode())
    return found


def damaged_table(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """CSV: cells replaced, columns and rows lost, or bytes."""
    if rng.random() < 0.3:
        return damaged_bytes(data, others, rng)
    rows = list(csv.reader(io.StringIO(data.decode())))
    for _ in range(rng.randint(1, 4)):
        row = rng.choice(rows)
        if not row:
            continue
        nasty = ("", "nan", "inf", "-1e999", "101", "x", "=1+1", "\x00", '"', "é", "1,2", "a" * 400)
        row[rng.randrange(len(row))] = rng.choice(nasty)
        if rng.random() < 0.3:
            row.pop()
        if rng.random() < 0.2:
            rows.remove(row)
        if not rows:
            return b""
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def result_seeds(work: Path) -> list[bytes]:
    long = "system,track,stem,metric,value,status,draw\n"
    wide = "method;song;target;usdr;sdr;note\n"
    windows = ",time,target,metric,score,track\n"
    return [
        (long + "".join(f"a,s{i},bass,usdr,{i},ok,0\n" for i in range(4))).encode(),
        (wide + "".join(f"a;s{i};bass;{i};;x\n" for i in range(4))).encode(),
        (windows + "".join(f"{i},{i}.0,vocals,SDR,{i},song\n" for i in range(4))).encode(),
    ]


def read_results(path: Path) -> object:
    from benchsep.imported.table import read_table

    return read_table(path, metrics=("usdr",))


def read_ratings(path: Path) -> object:
    from benchsep.errors import UsageError
    from benchsep.listeners import mushra
    from benchsep.listeners.agreement import agreement, rating_differences
    from benchsep.listeners.study import read_study

    with contextlib.suppress(UsageError):
        mushra.screen(mushra.read_ratings(path))
    study = read_study(path)
    table = study.clips(study.questions[0])
    found = agreement(table, resamples=99)
    return found, rating_differences(table)


# -- weights ------------------------------------------------------------------------------------


def _tensors() -> dict[str, Any]:
    import torch

    return {"a.weight": torch.zeros(3, 4), "b": torch.ones(5, dtype=torch.float16)}


def safetensors_seeds(work: Path) -> list[bytes]:
    from benchsep_training.checkpoint import save as save_step
    from safetensors.torch import save
    from tokensep.lm.model import TokenLM
    from tokensep.lm.weights import save_lm

    from tests.helpers.lm_dummies import tiny_config

    save_lm(work / "lm", TokenLM(tiny_config()))
    save_step(work / "steps", 1, {"model": _tensors()}, {"x": 1})
    arguments = {"args": "[]", "kwargs": json.dumps({"sources": ["a"], "channels": 2})}
    return [
        save(_tensors(), {"klass": "demucs.htdemucs.HTDemucs", **arguments}),
        save(_tensors(), {"klass": "os.system", **arguments}),
        save(_tensors(), {"config": json.dumps({"model": {}, "training": {}, "audio": {}})}),
        (work / "lm" / "lm.safetensors").read_bytes(),
        (work / "steps" / "step-1" / "tensors.safetensors").read_bytes(),
    ]


def read_safetensors(path: Path) -> object:
    """As a demucs file, an MSST file, tokensep's LM and a training checkpoint."""
    from benchsep_baselines.htdemucs import load_model
    from benchsep_baselines.msst import Found, read_pair
    from benchsep_training.checkpoint import load as load_step
    from tokensep.lm.weights import load_lm

    work = path.parents[1]
    lm, step = path.parent / "lm", path.parent / "step-1"
    for folder in (lm, step):
        folder.mkdir(exist_ok=True)
    (lm / "lm.json").write_bytes((work / "lm" / "lm.json").read_bytes())
    (step / "state.json").write_bytes((work / "steps" / "step-1" / "state.json").read_bytes())
    for target in (lm / "lm.safetensors", step / "tensors.safetensors"):
        target.write_bytes(path.read_bytes())
    readers = (
        lambda: load_model(path),
        lambda: read_pair(Found("x", path, None, "", ""), trust_pickle=False),
        lambda: load_lm(lm),
        lambda: load_step(step),
    )
    return _all(readers)


def _all(readers: Any) -> list[str]:
    """Call every reader; each returns or raises a named error."""
    return [_one(reader) for reader in readers]


def _one(reader: Callable[[], object]) -> str:
    from benchsep.errors import BenchsepError

    try:
        reader()
    except BenchsepError as error:
        return f"refused: {error}"
    return "read"


class Payload:
    """A reduce gadget: harmless, but it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return open, (str(self.mark), "w")


def pickle_seeds(work: Path) -> list[bytes]:
    from fractions import Fraction

    import torch

    mark = work / "EXECUTED"
    found = []
    for content in (
        {"state_dict": _tensors(), "epoch": 3},
        {"klass": "x", "args": (), "kwargs": {"segment": Fraction(39, 5)}, "state": _tensors()},
        {"state": _tensors(), "hook": Payload(mark)},
        [1, 2, {"deep": [Payload(mark)]}],
    ):
        for zipped in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
            found.append(buffer.getvalue())
    return found


def read_pickle(path: Path) -> object:
    from benchsep_baselines.htdemucs import load_model
    from benchsep_baselines.msst import Found, read_pair
    from tokensep.codec.hcodec2.weights import read_state

    config = path.parent / "c.yaml"
    config.write_text("model: {}\naudio: {chunk_size: 9}\ntraining: {instruments: [vocals]}\n")
    found = Found("x", path, config, "", "")
    readers = (
        lambda: read_pair(found, trust_pickle=False),
        lambda: load_model(path),
        lambda: read_state(path),
    )
    result = _all(readers)
    assert not (path.parents[1] / "EXECUTED").exists(), "a checkpoint ran code"
    return result


def config_seeds(work: Path) -> list[bytes]:
    return [
        b"model: {dim: 64, freqs: !!python/tuple [1, 2]}\naudio: {chunk_size: 44100}\n"
        b"training: {instruments: [vocals, other], target_instrument: null}\n"
        b"inference: {num_overlap: 2, chunk_size: 100, normalize: false}\n",
        json.dumps(
            {
                "model": {"a": 1},
                "audio": {"chunk_size": 9},
                "training": {"instruments": ["vocals"]},
                "inference": {"num_overlap": 2},
            }
        ).encode(),
        b"model: !!python/object/apply:os.system ['true']\n",
    ]


def read_config(path: Path) -> object:
    from benchsep_baselines.msst import read_yaml, settings_of
    from tokensep.codec.hcodec2.settings import read_settings
    from tokensep.config import CodecTrainConfig
    from tokensep.config import load as load_config
    from tokensep.lm.config import TokenSepConfig

    return _all((
        lambda: settings_of(read_yaml(path), path),
        lambda: load_config(TokenSepConfig, path),
        lambda: load_config(CodecTrainConfig, path),
        lambda: read_settings(path),
    ))  # fmt: skip


def shard_seeds(work: Path) -> list[bytes]:
    from tokensep.lm.config import STEMS
    from tokensep.train.pseudo_labels import add_member, add_sample

    found = []
    for names in (("one", "two"), ("../up", "/abs")):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for key in names:
                samples = np.full((2, 400), 0.1, np.float32)
                add_sample(
                    tar, key, samples, dict.fromkeys(STEMS, samples / 4), 8000, {"file": key}
                )
            link = tarfile.TarInfo("link.mixture.flac")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            if names[0] != "one":
                tar.addfile(link)
                add_member(tar, "link.json", b"{}")
        found.append(buffer.getvalue())
    return found


def read_shard(path: Path) -> object:
    from tokensep.train.pseudo_labels import stream

    return sum(sample.mixture.size for sample in stream([path]))


def token_shard_seeds(work: Path) -> list[bytes]:
    from tests.helpers.labelled import labelled
    from tests.helpers.token_shards import tokenized

    shards = labelled(work / "labelled", clips=2, seconds=0.6)
    out = tokenized(shards, work / "tokens")
    return [path.read_bytes() for path in sorted(out.glob("*.tar"))]


def read_token_shard(path: Path) -> object:
    """As a training reads it: whole clips, remixed stems, and codes for the head."""
    from tokensep.lm.config import LMTrainConfig
    from tokensep.train.stream.archive import Archive
    from tokensep.train.stream.shards import Shards
    from tokensep.train.stream.token_crops import TokenCrops
    from tokensep.train.tokenizing.job import new_job

    from tests.helpers.lm_dummies import DummyCodec, tiny_config

    codec, config = DummyCodec(), tiny_config()
    shards = Shards([path], [len(Archive(path).keys)])
    if not shards.clips:
        return None
    crops = TokenCrops(shards, new_job(codec, config), config, LMTrainConfig(remix=0.5))
    return crops.batch(range(6)), crops.code_sample()


KINDS = (
    Kind("WAV", 1700, ".wav", wav_seeds, read_sound, lying_header),
    Kind("FLAC, OGG", 1200, ".flac", flac_seeds, read_sound),
    Kind("stem.mp4", 600, ".stem.mp4", mp4_seeds, read_mp4),
    Kind("YAML suites", 1000, ".yaml", suite_seeds, read_suite, damaged_json),
    Kind("museval JSON", 800, ".json", museval_seeds, read_museval, damaged_json),
    Kind("baselines", 800, ".json", baseline_seeds, read_baseline, damaged_json),
    Kind("store files", 800, ".json", store_seeds, read_store, damaged_record),
    Kind("ratings CSV", 500, ".csv", rating_seeds, read_ratings, damaged_table),
    Kind("tables of results", 300, ".csv", result_seeds, read_results, damaged_table),
    Kind("safetensors", 800, ".safetensors", safetensors_seeds, read_safetensors),
    Kind("pickles (.th, .ckpt)", 600, ".th", pickle_seeds, read_pickle),
    Kind("model configurations", 300, ".yaml", config_seeds, read_config, damaged_json),
    Kind("pseudo-label shards", 400, ".tar", shard_seeds, read_shard),
    Kind("token shards", 200, ".tar", token_shard_seeds, read_token_shard),
)
