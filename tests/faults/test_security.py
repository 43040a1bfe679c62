"""Nothing gets in, nothing gets out: checkpoints, archives, names, commands, downloads, plugins.

Every attack here carries a payload that would leave a mark; the tests look for the mark.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchsep_baselines import download, htdemucs, locate, msst, safe_load, transfer
from safetensors.torch import save_file
from tokensep.errors import DataError
from tokensep.train import pseudo_labels

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.errors import CheckpointError, UsageError
from benchsep.runner.store import Store
from benchsep.runner.suite import load_suite
from tests.helpers.environment import environment
from tests.helpers.noise import noise_songs

TENSORS = {"w": torch.zeros(2)}


class Gadget:
    """Unpickled, it would create the file ``mark``."""

    def __init__(self, mark: Path, call: Any = None) -> None:
        self.mark, self.call = mark, call

    def __reduce__(self) -> Any:
        if self.call == "exec":
            return eval, (f"open({str(self.mark)!r}, 'w')",)
        if self.call == "system":
            return os.system, (f"touch '{self.mark}'",)
        return open, (str(self.mark), "w")


def checkpoint_files(folder: Path, mark: Path) -> list[Path]:
    """Gadgets plain, nested, behind a persistent id, in both of torch's formats and in a zip."""
    made = []
    for number, content in enumerate(
        (
            Gadget(mark),
            {"state_dict": {"w": Gadget(mark, "exec")}},
            {"state": TENSORS, "extra": [{"deep": (1, [Gadget(mark, "system")])}]},
        )
    ):
        for zipped in (True, False):
            path = folder / f"{number}-{zipped}.th"
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
            made.append(path)
        bare = folder / f"{number}-bare.th"
        bare.write_bytes(pickle.dumps(content))
        made.append(bare)
    good = folder / "good.th"
    torch.save({"state": TENSORS}, good)
    swapped = folder / "swapped.th"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(swapped, "w") as target:
        for name in source.namelist():
            evil = pickle.dumps({"state": Gadget(mark)}, protocol=2)
            target.writestr(name, evil if name.endswith("data.pkl") else source.read(name))
    return [*made, swapped]


def test_no_checkpoint_runs_code(tmp_path):
    mark = tmp_path / "EXECUTED"
    config = tmp_path / "c.yaml"
    config.write_text("model: {}\naudio: {chunk_size: 9}\ntraining: {instruments: [vocals]}\n")
    for path in checkpoint_files(tmp_path, mark):
        found = msst.Found("x", path, config, "", "")
        for read in (
            lambda path=path: htdemucs.load_model(path),
            lambda found=found: msst.read_pair(found, trust_pickle=False),
        ):
            with pytest.raises(CheckpointError, match=path.name):
                read()
        assert not mark.exists(), path


def test_the_payload_does_leave_a_mark_where_pickles_are_trusted(tmp_path):
    """The attack is real: ``trust_pickle=true`` runs it, which is what the option's name says."""
    mark = tmp_path / "EXECUTED"
    path = tmp_path / "evil.th"
    torch.save({"state": Gadget(mark)}, path)
    with pytest.raises(CheckpointError, match=r"trust_pickle=true"):
        safe_load.load_pickle(path, admitted={}, trust_pickle=False)
    assert not mark.exists()
    safe_load.load_pickle(path, admitted={}, trust_pickle=True)["state"].close()
    assert mark.exists()


@pytest.mark.parametrize(
    "name",
    ["os.system", "subprocess.Popen", "evil_module.Model", "demucs.htdemucs.HTDemucs.__init__",
     "demucs.apply.BagOfModels", "", "benchsep.cli.app.main"],
)  # fmt: skip
def test_a_class_named_in_metadata_is_checked_before_any_import(tmp_path, monkeypatch, name):
    (tmp_path / "evil_module.py").write_text("open(__file__ + '.EXECUTED', 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path, {"klass": name, "args": "[]", "kwargs": "{}"})
    with pytest.raises(CheckpointError, match="its metadata names the class"):
        htdemucs.load_model(path)
    assert "evil_module" not in sys.modules
    assert not list(tmp_path.glob("*.EXECUTED"))


def test_a_configuration_cannot_ask_for_python_objects(tmp_path):
    path = tmp_path / "c.yaml"
    mark = tmp_path / "EXECUTED"
    path.write_text(f"model: !!python/object/apply:os.system ['touch {mark}']\n")
    with pytest.raises(CheckpointError, match=r"c\.yaml"):
        msst.read_yaml(path)
    with pytest.raises(UsageError, match=r"c\.yaml"):
        load_suite(path)
    assert not mark.exists()


# -- paths --------------------------------------------------------------------------------------

HOSTILE = (
    "../../out", "/etc/out", "a/../../b", "; rm -rf ~", "$(touch EXECUTED)", "`touch EXECUTED`",
    "x" * 400, "é" * 200, "a\nb", "a\0b", "\x1b[2J\x1b]0;title\x07", "CON", "nul.wav", ".", "..",
    " ", "", "=1+1", "<img src=x onerror=alert(1)>", "\\input{/etc/passwd}", "|", "\u202eexe.wav",
)  # fmt: skip


class Named:
    """A data set whose tracks are called as the attacker likes."""

    name, edition, notes = "named", "folder", ()

    def tracks(self) -> list[Any]:
        from benchsep.datasets.track import Track, TrackAudio

        rng = np.random.default_rng(0)
        stems = {s: Audio(rng.normal(0, 0.1, (2, 800)).astype(np.float32), 8000) for s in STEMS}
        mixture = Audio(sum(a.samples for a in stems.values()), 8000)
        return [
            Track(name, "test", "folder", lambda: TrackAudio(mixture, stems, "sum"))
            for name in HOSTILE
        ]


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    """A run over hostile names, deep inside an empty folder; all that exists is listed."""
    base = tmp_path_factory.mktemp("hostile")
    run = base / "a" / "b" / "run"
    registry.register("dataset", "named", Named)
    try:
        benchsep.run(out=run, dataset="named", systems=("mixture",), metrics=("usdr", "sisdr"),
                     yardsticks=False, inline=True, keep_estimates="flac")  # fmt: skip
    finally:
        registry.unregister("dataset", "named")
    return base, run


def everything_is_below(folder: Path, base: Path) -> bool:
    return all(folder in p.parents or p == folder or p in folder.parents for p in base.rglob("*"))


def test_no_name_writes_outside_the_run_folder(hostile_run):
    base, run = hostile_run
    assert everything_is_below(run, base)
    frame = benchsep.load_run(run)
    assert set(frame["track"]) == set(HOSTILE)
    assert (frame["status"] == "ok").all()
    assert len(list((run / "estimates").rglob("*.flac"))) == len(HOSTILE) * len(STEMS)


def test_no_name_leaves_the_report_or_acts_in_it(hostile_run, tmp_path):
    from benchsep.report.run import load
    from benchsep.report.write import write_tables

    _, run = hostile_run
    out = tmp_path / "x" / "report"
    write_tables(load(run, intervals=False).tables, out)
    assert everything_is_below(out, tmp_path)
    html = (out / "tables.html").read_text()
    assert "<img" not in html and "onerror=alert(1)>" not in html
    for path in out.iterdir():
        text = path.read_text()
        assert "\x1b" not in text and "\u202e" not in text and "\x07" not in text, path
    assert "\\input" not in (out / "tables.tex").read_text()


def test_museval_files_of_hostile_names_stay_below_their_folder(tmp_path):
    import pandas as pd

    from benchsep.imported.museval import import_runs
    from benchsep.museval.io import export_run
    from benchsep.runner.frame import COLUMNS

    fixed = {"family": "mixture", "stem": "vocals", "draw": 0, "status": "ok", "edition": "hq",
             "value": 1.0, "frames": [1.0], "metric_version": "1", "split": "../test"}  # fmt: skip
    rows = [
        {**dict.fromkeys(COLUMNS), **fixed, "system": system, "track": track, "metric": metric}
        for system in ("../up", "fine")
        for track in HOSTILE
        for metric in ("bsseval.sdr", "bsseval.sir")
    ]
    out = tmp_path / "deep" / "museval"
    export_run(pd.DataFrame(rows), out)
    assert everything_is_below(out, tmp_path)
    split = next(p.name for p in (out / "fine").iterdir())
    assert set(import_runs(out, split=split)["track"]) == set(HOSTILE)


def test_cells_of_spreadsheets_and_terminals_do_not_act(tmp_path):
    import pandas as pd

    from benchsep._util.text_table import render

    names = ["=HYPERLINK(1)", "+1", "-x", "@cmd", "\x1b[2Jx", "a|b", "a\nb", "‮x", "\t=1"]
    frame = pd.DataFrame({"system": names, "tail": [names] * len(names), "n": [-1.5] * len(names)})
    for row in list(csv.reader(io.StringIO(render(frame, "csv"))))[1:]:
        assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r")), row
        assert not row[1].startswith(("=", "+", "-", "@", "\t", "\r")), row
        assert row[2] == "-1.5"
    for form in ("table", "md", "csv"):
        assert not {"\x1b", "‮"} & set(render(frame, form)), form
    assert json.loads(render(frame, "json"))[0]["system"] == names[0]


@pytest.mark.parametrize("kind", ["..", "absolute", "symlink"])
def test_members_of_a_shard_never_reach_the_disk(tmp_path, kind):
    """Shards are read as a stream: names are keys, links have no content, nothing is extracted."""
    path, outside = tmp_path / "in" / "shard-000000.tar", tmp_path / "outside"
    path.parent.mkdir()
    outside.write_text("secret")
    name = {"..": "../outside", "absolute": str(outside), "symlink": "link"}[kind]
    samples = np.full((2, 400), 0.1, np.float32)
    with tarfile.open(path, "w") as tar:
        if kind == "symlink":
            link = tarfile.TarInfo("link.mixture.flac")
            link.type, link.linkname = tarfile.SYMTYPE, str(outside)
            tar.addfile(link)
        facts = {"file": name}
        pseudo_labels.add_sample(tar, name, samples, dict.fromkeys(STEMS, samples), 8000, facts)
    if kind == "symlink":
        with pytest.raises(DataError, match="not a complete shard"):
            list(pseudo_labels.stream([path]))
    else:
        assert [sample.facts["file"] for sample in pseudo_labels.stream([path])] == [name]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "outside", path.name]
    assert outside.read_text() == "secret"


def test_a_folder_of_estimates_cannot_be_left_by_a_tracks_name(tmp_path):
    """``dir:PATH`` looks tracks up by name: a name with ``..`` finds nothing outside."""
    from benchsep.datasets.track import Track
    from benchsep.errors import SeparatorError
    from benchsep.systems.folder import EstimatesFolder

    noise_songs(tmp_path / "private", ("diary",))
    estimates = tmp_path / "estimates"
    noise_songs(estimates, ("song",))
    system = EstimatesFolder(str(estimates))
    mixture = Audio(np.ones((2, 4000), np.float32), 8000)
    for name in ("../private/diary", str(tmp_path / "private" / "diary"), ".."):
        track = Track(name, "test", "folder", lambda: None)
        with pytest.raises(SeparatorError, match="no estimate of"):
            system.estimates(track, mixture)


# -- commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["; touch EXECUTED", "$(touch EXECUTED)", "`touch EXECUTED`"])
def test_a_command_is_no_shell_line(tmp_path, monkeypatch, name):
    """Neither the template nor a track's name is interpreted: both are words."""
    monkeypatch.chdir(tmp_path)
    songs = noise_songs(tmp_path / "songs", (name,))
    program = tmp_path / "copy.py"
    program.write_text(
        "import shutil, sys\nassert sys.argv[3] == '; touch EXECUTED $(touch EXECUTED)', sys.argv\n"
        "shutil.copy(sys.argv[1], sys.argv[2] + '/vocals.wav')\n"
    )
    spec = (f"cmd:{sys.executable} {program} {{mixture}} {{out}} "
            "'; touch EXECUTED $(touch EXECUTED)'")  # fmt: skip
    result = benchsep.run(
        out=tmp_path / "run", dataset=f"folder:{songs}", systems=(spec,), metrics=("usdr",),
        stems=("vocals",), yardsticks=False, inline=True,
    )  # fmt: skip
    assert set(result.cells()["status"]) == {"ok"}
    assert not list(tmp_path.rglob("EXECUTED"))


def test_a_template_that_is_no_command_is_a_usage_error():
    from benchsep.systems.command import Command

    for text in ("'unclosed {mixture} {out}", "", "prog {mixture}", "   "):
        with pytest.raises(UsageError, match="cmd"):
            Command(text)


# -- downloads ----------------------------------------------------------------------------------


class Reply(io.BytesIO):
    """What a server, a proxy or a cut connection sends."""

    status = status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.content = content

    def raise_for_status(self) -> None: ...


@pytest.mark.parametrize("content", [b"<html>blocked by the proxy</html>", b""])
def test_a_proxys_page_never_becomes_weights(tmp_path, monkeypatch, content):
    import requests

    from benchsep.metrics import nisqa

    monkeypatch.setattr(transfer, "open_url", lambda request: Reply(content))
    target = tmp_path / "weights" / "955717e8-8726e21a.th"
    with pytest.raises(CheckpointError, match=r"found a page|begins with b''"):
        download._download("https://host/955717e8-8726e21a.th", target)
    assert [path.name for path in target.parent.iterdir()] == [f".{target.name}.lock"]
    shutil.rmtree(target.parent)
    monkeypatch.setattr(requests, "get", lambda url, timeout: Reply(content))
    assert "sha256" in nisqa._download_once(tmp_path / "nisqa.tar")
    assert not list(tmp_path.iterdir())


def test_every_address_that_is_downloaded_from_is_tls():
    from benchsep.metrics import nisqa

    assert nisqa.URL.startswith("https://")
    assert locate.DEMUCS_ROOT.startswith("https://")
    with pytest.raises(CheckpointError, match="https"):
        download._download("http://host/955717e8-8726e21a.th", Path("x.th"))


def test_a_download_without_a_hash_in_its_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "open_url", lambda request: Reply(b"anything"))
    with pytest.raises(CheckpointError, match="has no hash"):
        download._download("https://host/model.th", tmp_path / "model.th")
    assert not list(tmp_path.iterdir())


# -- plugins ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["raise RuntimeError('no GPU')", "import not_there_at_all",
                                  "raise SystemExit(3)", "def f(:"])  # fmt: skip
def test_a_plugin_that_fails_to_import_is_listed_and_breaks_nothing(tmp_path, body):
    """A real installed distribution, in a real process."""
    (tmp_path / "broken_plugin.py").write_text(body + "\n")
    info = tmp_path / "broken_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[benchsep.systems]\nbrokensys = broken_plugin:System\n"
        "[benchsep.metrics]\nbrokenmetric = broken_plugin:Metric\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchsep", "list", "metrics"],
        env=environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("brokenmetric") and "broken: " in line for line in lines)
    assert any(line.startswith("usdr") for line in lines)


def test_the_store_reads_json_only(tmp_path):
    """No pickle anywhere in a run folder: a gadget in place of a record is not run."""
    store, mark = Store(tmp_path / "run"), tmp_path / "EXECUTED"
    path = store.path("s", "t")
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Gadget(mark)))
    assert store.read("s", "t") is None and store.records() == []
    store.set_aside("s", "t")
    assert not mark.exists() and path.with_suffix(".json.corrupt").exists()


def test_nothing_but_our_own_list_unpickles():
    """Every ``pickle``/``torch.load`` in the sources is one of the safe ones."""
    root = Path(__file__).parents[2]
    for folder in ("benchsep", "systems"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text()
            assert "import pickle" not in text and "joblib" not in text, path
            assert "allow_pickle=True" not in text, path
            for line in text.splitlines():
                if "torch.load(" in line and "``" not in line:
                    assert "weights_only=True" in line or path.name == "safe_load.py", (
                        path,
                        line,
                    )


def test_writing_audio_follows_no_symlink_out_of_the_folder(tmp_path):
    """A planted link is replaced by the rename, its target is left alone."""
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"precious")
    folder = tmp_path / "stems"
    folder.mkdir()
    (folder / "vocals.wav").symlink_to(outside)
    write_audio(folder / "vocals.wav", Audio(np.ones((2, 100), np.float32), 8000))
    assert outside.read_bytes() == b"precious"
