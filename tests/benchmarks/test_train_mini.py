"""``make train-mini``: stages in order, skipped when done, resumed, refused if they do not fit."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from benchsep_baselines.train import __main__ as baselines

from benchmarks import train_mini
from benchmarks.train_mini import Plan, Runner, Stage
from benchsep.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


class Calls:
    """Commands that were run; each makes the file that it is told to, unless it fails."""

    def __init__(self, stages, fail=()):
        self.made = {stage.command: stage.makes for stage in stages if stage.command}
        self.names = {stage.command: stage.name for stage in stages}
        self.fail, self.seen = set(fail), []

    def __call__(self, command):
        self.seen.append(self.names[tuple(command)])
        if self.seen[-1] in self.fail:
            return 3
        made = self.made[tuple(command)]
        made.parent.mkdir(parents=True, exist_ok=True)
        if made.name != "done":
            made.write_text(self.seen[-1])
        return 0


@pytest.fixture
def musdb(tmp_path):
    (tmp_path / "musdb" / "train").mkdir(parents=True)
    return tmp_path / "musdb"


def runner(plan, calls):
    return Runner(plan.work, calls, which=lambda program: program)


def test_every_weight_that_ships_is_made(musdb, tmp_path):
    """The files of both weight folders, but for their cards."""
    plan = Plan(musdb, tmp_path / "work")
    stages = plan.stages()
    runner(plan, Calls(stages)).run(stages)
    weights = plan.work / "weights"
    for folder, made in (("tokensep/weights/mini", "mini"), ("tokensep/weights/bands", "bands")):
        shipped = {p.name for p in (ROOT / "systems" / folder).glob("codec.safetensors")}
        assert shipped <= {p.name for p in (weights / made).iterdir()}
    assert (weights / "mini" / "lm.safetensors").read_text() == "lm-3"
    assert (weights / "mini" / "guided.safetensors").read_text() == "guided-2"
    shipped = {p.name for p in (ROOT / "systems/benchsep_baselines/weights").glob("*.safetensors")}
    assert shipped == {p.name for p in (weights / "baselines").iterdir()}


def test_what_is_done_is_skipped_and_what_failed_goes_on(musdb, tmp_path):
    plan = Plan(musdb, tmp_path / "work")
    stages = plan.stages()
    first = Calls(stages, fail={"lm-2"})
    assert runner(plan, first).run(stages) == 3 and first.seen[-1] == "lm-2"
    second = Calls(stages)
    assert runner(plan, second).run(stages) == 0
    assert second.seen == ["lm-2", "lm-3", "guided", "guided-2"]
    third = Calls(stages)
    assert runner(plan, third).run(stages) == 0 and not third.seen
    (plan.work / "bands-weights").mkdir()
    (plan.work / "weights" / "bands" / "codec.safetensors").unlink()
    assert runner(plan, third).run(stages) == 0 and third.seen == ["bands"]


def test_a_folder_of_other_budgets_or_data_is_refused(musdb, tmp_path):
    plan = Plan(musdb, tmp_path / "work", tiny=True)
    runner(plan, Calls(plan.stages())).run(plan.stages())
    whole = Plan(musdb, tmp_path / "work")
    calls = Calls(whole.stages())
    with pytest.raises(UsageError, match=r"(?s)stage bs_roformer .*--steps 2.*take another --work"):
        runner(whole, calls).run(whole.stages())
    assert not calls.seen


def test_a_missing_program_is_said_before_anything_is_trained(musdb, tmp_path, capsys):
    plan = Plan(musdb, tmp_path / "work")
    calls = Calls(plan.stages())
    with pytest.raises(UsageError, match=r"apt-get install lmms, or .*--without-lmms"):
        Runner(plan.work, calls, which=lambda program: None).run(plan.stages())
    assert not calls.seen
    without = Plan(musdb, tmp_path / "work", lmms=False).stages()
    assert "songs" not in [stage.name for stage in without]
    assert not any(str(tmp_path / "work" / "songs") in stage.command for stage in without)
    assert train_mini.main(["--musdb", str(tmp_path / "nothing"), "--list"]) == 2
    assert "no folder train" in capsys.readouterr().err


@pytest.mark.parametrize(("model", "count"), [("bs_roformer", 3), ("htdemucs", 5)])
def test_each_training_begins_with_the_one_before_and_the_last_ships(model, count, musdb, tmp_path):
    stages = {stage.name: stage for stage in Plan(musdb, tmp_path / "work").stages()}
    trainings = [model, *(f"{model}-{number}" for number in range(2, count + 1))]
    for before, name in itertools.pairwise(trainings):
        command = stages[name].command
        assert command[command.index("--init") + 1] == str(stages[before].makes)
    assert f"{model}-{count + 1}" not in stages
    assert stages[f"{model}-weights"].copies == (stages[trainings[-1]].makes,)


def test_songs_of_lmms_are_made_before_they_are_used(musdb, tmp_path):
    stages = {stage.name: stage for stage in Plan(musdb, tmp_path / "work").stages()}
    second = stages["htdemucs-2"].command
    assert second[second.index("--extra") + 1] == str(stages["songs"].makes.parent)
    assert list(stages).index("songs") < list(stages).index("htdemucs-2")
    without = {stage.name: stage for stage in Plan(musdb, tmp_path / "work", lmms=False).stages()}
    assert "--extra" not in without["htdemucs-2"].command


def test_a_command_that_makes_nothing_is_a_failure(tmp_path, capsys):
    stage = Stage("idle", tmp_path / "file", ("python", "-m", "idle"))
    assert Runner(tmp_path, lambda command: 0).run([stage]) == 1
    assert "made no" in capsys.readouterr().out


def test_the_list_says_what_is_to_do(musdb, tmp_path, capsys):
    given = ["--musdb", str(musdb), "--work", str(tmp_path / "work"), "--list"]
    assert train_mini.main([*given, "--only", "lm", "guided"]) == 0
    assert capsys.readouterr().out.split() == ["lm", "to", "do", "guided", "to", "do"]
    assert train_mini.main([*given, "--only", "polish"]) == 2
    assert "there are bs_roformer" in capsys.readouterr().err


def test_the_commands_are_what_the_programs_take(musdb, tmp_path, monkeypatch):
    """Each command line is parsed by its program; nothing is trained."""
    from tokensep import cli
    from tokensep.train import codec_command, guided, hubert, lm
    from tokensep.train.synth import songs
    from typer.testing import CliRunner

    seen = []
    for module in (codec_command, guided, hubert, lm):
        monkeypatch.setattr(module, "main", lambda options: seen.append(options) or {})
    monkeypatch.setattr(songs, "run", lambda *rest: seen.append(rest) or {})
    monkeypatch.setattr("tokensep.train.synth.lmms.LmmsSongs", lambda settings: settings)
    monkeypatch.setattr("tokensep.cli.train.lm_configs", lambda name: (None, None))
    monkeypatch.chdir(ROOT)
    for tiny in (False, True):
        for stage in Plan(musdb, tmp_path / "work", tiny=tiny, music=musdb).stages():
            if not stage.command:
                continue
            program, arguments = stage.command[2], list(stage.command[3:])
            if program == "tokensep":
                result = CliRunner().invoke(cli.app, arguments)
                assert result.exit_code == 0, (stage.name, result.output)
            else:
                assert program == "benchsep_baselines.train"
                given = baselines.parser().parse_args(arguments)
                assert given.out == stage.makes.parent
    assert len(seen) == 2 * 9


def test_game_music_is_downloaded_for_the_codec_that_was_trained_on_it(musdb, tmp_path):
    work = tmp_path / "work"

    def extra(plan: Plan, name: str) -> list[str]:
        command = {stage.name: stage for stage in plan.stages()}[name].command
        return [after for before, after in itertools.pairwise(command) if before == "--extra"]

    whole = Plan(musdb, work)
    stages = {stage.name: stage for stage in whole.stages()}
    assert list(stages).index("music") < list(stages).index("bands")
    assert stages["music"].command[2:] == ("benchmarks.game_music", str(work / "music"))
    assert extra(whole, "bands") == [str(work / "music")] and not extra(whole, "codec")
    given = Plan(musdb, work, music=musdb)
    assert extra(given, "bands") == extra(given, "codec") == [str(musdb)]
    assert "music" not in [stage.name for stage in given.stages()]
    without = Plan(musdb, work, game_music=False)
    assert not extra(without, "bands")
    calls = Calls(whole.stages())
    with pytest.raises(UsageError, match=r"stage music needs .*apt-get: .*--without-music"):
        Runner(work, calls, which={"lmms": "lmms"}.get).run(whole.stages())
