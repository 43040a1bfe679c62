"""All weights that ship, trained again, stage by stage (``make train-mini``).

    python -m benchmarks.train_mini --musdb MUSDB18-7S --work work [--tiny] [--without-lmms]
        [--music FOLDER | --without-music] [--only STAGE …] [--list]

A stage that is done is skipped, one that was killed goes on where it was: the trainers resume by
themselves. ``WORK/stages/NAME.json`` says by which command a stage was done; with another one
(other data or budgets) it is refused, not mixed. Under ``WORK/weights`` lie, at the end, the files
of ``systems/tokensep/weights`` and ``systems/benchsep_baselines/weights``; they are compared and
copied by hand.

Data: MUSDB18's 7-second edition, and what Debian packages hold: the demo songs of ``lmms``
(``apt-get install lmms``), and game music for the codec ``bands``, which is downloaded
(:mod:`benchmarks.game_music`). ``--music``: any folder of recordings for both codecs instead.
``--tiny`` trains each for a few steps: it shows that the stages fit, in minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchsep._util.atomic import write_atomically
from benchsep.errors import UsageError

CONFIGS = Path("configs/tokensep")
PYTHON = (sys.executable, "-m")
TINY = {
    "bs_roformer": ("--steps", "2", "--seconds", "1", "--batch", "1"),
    "bs_roformer-2": ("--steps", "2", "--seconds", "1", "--batch", "1"),
    "bs_roformer-3": ("--steps", "2", "--seconds", "1", "--batch", "1"),
    "htdemucs": ("--steps", "2", "--seconds", "1", "--batch", "1"),
    "htdemucs-2": ("--steps", "2", "--seconds", "1", "--batch", "1"),
    "htdemucs-3": ("--steps", "2", "--seconds", "1", "--batch", "1"),
    "htdemucs-4": ("--steps", "2", "--seconds", "1", "--batch", "1"),
    "htdemucs-5": ("--steps", "2", "--seconds", "1", "--batch", "1"),
    "songs": ("--projects", "/usr/share/lmms/projects/demos/Skiessi/Skiessi-C64.mmpz"),
    "music": ("--packages", "singularity-music"),
    "hubert": ("--max-steps", "2"),
    "codec": ("--max-steps", "2"),
    "bands": ("--max-steps", "1"),
    "lm": ("-O", "max_steps=2", "-O", "variants=1"),
    "lm-2": ("-O", "max_steps=2", "-O", "variants=1"),
    "lm-3": ("-O", "max_steps=2", "-O", "variants=1"),
    "guided": ("-O", "max_steps=2", "-O", "examples=4"),
    "guided-2": ("-O", "max_steps=2", "-O", "examples=4"),
}
"""What ``--tiny`` adds to the commands; a later option replaces an earlier one."""


@dataclass(frozen=True)
class Stage:
    """One step: a command, or files that are put together; done once ``makes`` is there."""

    name: str
    makes: Path
    command: tuple[str, ...] = ()
    copies: tuple[Path, ...] = ()
    """Files (or all files of folders) that go into the folder of ``makes``."""
    needs: str = ""
    """A program that must be there."""
    advice: str = ""
    """What to do if it is not."""


@dataclass(frozen=True)
class Plan:
    """What is trained from what."""

    musdb: Path
    work: Path
    tiny: bool = False
    lmms: bool = True
    music: Path | None = None
    """Recordings for both codecs; None: those of ``game_music`` for the second."""
    game_music: bool = True

    def stages(self) -> list[Stage]:
        """All stages in their order."""
        stages = [*self._bs_roformer(), *self._songs(), *self._htdemucs(), *self._music()]
        return [*stages, *self._codecs(), *self._lms(), *self._guided()]

    def _run(
        self, name: str, makes: Path, *command: object, needs: str = "", advice: str = ""
    ) -> Stage:
        extra = TINY.get(name, ()) if self.tiny else ()
        texts = (*(str(part) for part in command), *extra)
        return Stage(name, self.work / makes, (*PYTHON, *texts), needs=needs, advice=advice)

    def _copy(self, name: str, makes: str, *copies: str) -> Stage:
        return Stage(name, self.work / makes, copies=tuple(self.work / path for path in copies))

    def _baseline(self, name: str, model: str, *options: object) -> Stage:
        command = ("benchsep_baselines.train", "--model", model, "--root", self.musdb, "--out")
        file = f"{model}-mini.safetensors"
        return self._run(name, Path(name, file), *command, self.work / name, *options)

    def _bs_roformer(self) -> list[Stage]:
        name, file = "bs_roformer", "bs_roformer-mini.safetensors"
        more = ("--cpu-minutes", "38.4", "--rate", "1.5e-3", "--warmup", "40")
        more += ("--speed-share", "0.25", "--seed", "5")
        last = ("--cpu-minutes", "36", "--rate", "1.2e-3", "--warmup", "40", "--speed-share", "0.5")
        last += ("--seed", "6", "--seconds", "3", "--batch", "3")
        last += ("--spectral", "0.5", "--excess", "0.6")
        stages = [self._baseline(name, name)]
        for number, options in ((2, more), (3, last)):
            begin = ("--init", stages[-1].makes)
            stages.append(self._baseline(f"{name}-{number}", name, *begin, *options))
        made = f"{name}-3/{file}"
        return [*stages, self._copy(f"{name}-weights", f"weights/baselines/{file}", made)]

    def _htdemucs(self) -> list[Stage]:
        name, file = "htdemucs", "htdemucs-mini.safetensors"
        songs = ("--extra", self.work / "songs", "--extra-share", "0.4") if self.lmms else ()
        more = (*songs, "--speed-share", "0.5", "--spectral", "1", "--rate", "1e-3")
        alone = ("--spectral", "1", "--rate", "5e-4", "--warmup", "10")
        long = ("--spectral", "1", "--rate", "1.2e-3", "--warmup", "30", "--speed-share", "0.25")
        fourth = (*long, "--excess", "0.7", "--seed", "4")
        last = (*long, "--excess", "0.6", "--seed", "7", "--seconds", "2", "--batch", "3")
        trainings = ((2, 5, more), (3, 5, alone), (4, 28, fourth), (5, 36, last))
        stages = [self._baseline(name, name)]
        for number, minutes, options in trainings:
            begin = ("--init", stages[-1].makes, "--cpu-minutes", minutes)
            stages.append(self._baseline(f"{name}-{number}", name, *begin, *options))
        made = f"{name}-5/{file}"
        return [*stages, self._copy(f"{name}-weights", f"weights/baselines/{file}", made)]

    def _songs(self) -> list[Stage]:
        if not self.lmms:
            return []
        command = ("tokensep", "synth", self.work / "songs", "--source", "lmms")
        voices = ("--vocals", self.musdb / "train")
        advice = "apt-get install lmms, or leave its songs out with --without-lmms"
        makes = Path("songs", "done")
        return [self._run("songs", makes, *command, *voices, needs="lmms", advice=advice)]

    def _music(self) -> list[Stage]:
        if self.music or not self.game_music:
            return []
        command = ("benchmarks.game_music", self.work / "music")
        advice = "it is part of Debian and Ubuntu; elsewhere give --music FOLDER or --without-music"
        makes = Path("music", "done")
        return [self._run("music", makes, *command, needs="apt-get", advice=advice)]

    def _codecs(self) -> list[Stage]:
        work, data = self.work, ("--musdb", self.musdb / "train")
        more = ("--extra", self.music) if self.music else ()
        games = ("--extra", work / "music") if self._music() else more
        codec = ("tokensep", "train", "codec", *data)
        return [
            self._run(
                "hubert", Path("hubert/hubert.safetensors"),
                "tokensep", "train", "hubert", *data, "--work", work / "codec",
                "--out", work / "hubert", "--cpu-minutes", "4",
            ),
            self._run(
                "codec", Path("mini-codec/codec.safetensors"),
                *codec, *more, "--config", CONFIGS / "mini-codec.yaml", "--work", work / "codec",
                "--hubert", work / "hubert", "--out", work / "mini-codec",
            ),
            self._run(
                "bands", Path("weights/bands/codec.safetensors"),
                *codec, *games, "--config", CONFIGS / "mini-bands.yaml", "--work", work / "bands",
                "--semantic", work / "mini-codec", "--out", work / "weights" / "bands",
            ),
        ]  # fmt: skip

    def _lms(self) -> list[Stage]:
        data = ("--musdb", self.musdb / "train", "--codec", self.work / "mini-codec")
        stages, init = [], ()
        for name, settings in (("lm", "mini-lm"), ("lm-2", "mini-lm-2"), ("lm-3", "mini-lm-3")):
            out = self.work / name
            command = ("tokensep", "train", "lm", *data, *init, "--out", out)
            file = CONFIGS / f"{settings}.yaml"
            makes = Path(name, "final", "lm.safetensors")
            stages.append(self._run(name, makes, *command, "--settings", file))
            init = ("--init", out / "final")
        mini = "weights/mini"
        stages.append(self._copy("mini", f"{mini}/lm.safetensors", "mini-codec", "lm-3/final"))
        return stages

    def _guided(self) -> list[Stage]:
        # Without the LMMS songs: the LM's latents of them are too far off (docs/design).
        command = ("tokensep", "train", "guided", "--checkpoint", self.work / "weights" / "mini")
        command += ("--musdb", self.musdb / "train", "-O", "seed=3")
        last = ("--init", self.work / "guided" / "best", "-O", "cpu_minutes=20", "-O", "lr=0.002")
        last += ("-O", "bands=0.5", "-O", "drawn=0.5", "-O", "renders=vocals+drums+bass")
        stages, file = [], "guided.safetensors"
        for name, options in (("guided", ("-O", "cpu_minutes=40")), ("guided-2", last)):
            out = ("--out", self.work / name)
            makes = Path(name, "best", file)
            stages.append(self._run(name, makes, *command, *out, *options))
        return [*stages, self._copy("mini-guided", f"weights/mini/{file}", "guided-2/best")]


class Runner:
    """Runs the stages of a plan that are not done."""

    def __init__(
        self,
        work: Path,
        call: Callable[[Sequence[str]], int] = subprocess.call,
        which: Callable[[str], str | None] = shutil.which,
    ) -> None:
        self.work, self.call, self.which = work, call, which

    def note(self, stage: Stage) -> Path:
        """Where it is written down that a stage was done."""
        return self.work / "stages" / f"{stage.name}.json"

    def is_done(self, stage: Stage) -> bool:
        """Whether its note and its result are there.

        Raises
        ------
        UsageError
            It was done by another command.
        """
        if not self.note(stage).is_file():
            return False
        done = json.loads(self.note(stage).read_text())["command"]
        if done != recipe(stage):
            raise UsageError(
                f"stage {stage.name} in {self.work} was done with other data or options:\n  "
                f"{' '.join(done)}\nnow:\n  {' '.join(recipe(stage))}\n"
                "take another --work, or delete its folder and its note in stages/"
            )
        return stage.makes.exists()

    def check(self, stages: list[Stage]) -> None:
        """Before anything is trained: programs that are missing, notes that do not fit.

        Raises
        ------
        UsageError
            Naming the stage, and what to do.
        """
        for stage in stages:
            if not self.is_done(stage) and stage.needs and self.which(stage.needs) is None:
                raise UsageError(
                    f"stage {stage.name} needs the program {stage.needs}: {stage.advice}"
                )

    def run(self, stages: list[Stage]) -> int:
        """Run them in order; returns the status of the first that failed, or 0."""
        self.check(stages)
        for stage in stages:
            if self.is_done(stage):
                print(f"{stage.name}: done", flush=True)
                continue
            print(f"{stage.name}: {' '.join(recipe(stage))}", flush=True)
            began = time.monotonic()
            status = self._do(stage)
            if status:
                print(f"{stage.name}: failed with status {status}; call again to go on from there")
                return status
            note = {"command": recipe(stage), "seconds": round(time.monotonic() - began)}
            self.note(stage).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.note(stage), json.dumps(note) + "\n")
        return 0

    def _do(self, stage: Stage) -> int:
        if stage.copies:
            for source in stage.copies:
                files = sorted(source.iterdir()) if source.is_dir() else [source]
                stage.makes.parent.mkdir(parents=True, exist_ok=True)
                for file in files:
                    shutil.copy2(file, stage.makes.parent / file.name)
        elif status := self.call(stage.command):
            return status
        if stage.makes.name == "done":
            stage.makes.touch()  # a command whose files have no fixed names
        if not stage.makes.exists():
            print(f"{stage.name}: it ended well and made no {stage.makes}")
            return 1
        return 0


def recipe(stage: Stage) -> list[str]:
    """What a stage does, as text; the interpreter does not count."""
    if stage.copies:
        return ["copy", *map(str, stage.copies), str(stage.makes.parent)]
    return list(stage.command[len(PYTHON) :])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--musdb", required=True, type=Path, help="folder of the 7-second edition")
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--tiny", action="store_true", help="rehearse: a few steps of each stage")
    parser.add_argument("--without-lmms", action="store_true", help="do not make songs with LMMS")
    parser.add_argument("--music", type=Path, help="recordings for both codecs, of any kind")
    parser.add_argument(
        "--without-music", action="store_true", help="do not download game music for a codec"
    )
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="run only these stages")
    parser.add_argument("--list", action="store_true", help="list the stages and which are done")
    given = parser.parse_args(argv)
    lmms, games = not given.without_lmms, not given.without_music
    plan = Plan(given.musdb, given.work, given.tiny, lmms, given.music, games)
    runner, stages = Runner(given.work), plan.stages()
    try:
        if not (given.musdb / "train").is_dir():
            raise UsageError(f"--musdb {given.musdb}: no folder train there")
        if given.only:
            stages = chosen(stages, given.only)
        if given.list:
            for stage in stages:
                print(f"{stage.name:<20} {'done' if runner.is_done(stage) else 'to do'}")
            return 0
        return runner.run(stages)
    except UsageError as error:
        print(f"train-mini: {error}", file=sys.stderr)
        return 2


def chosen(stages: list[Stage], names: list[str]) -> list[Stage]:
    """Those of ``names``.

    Raises
    ------
    UsageError
        There is no such stage.
    """
    known = [stage.name for stage in stages]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"no stage {', '.join(unknown)}; there are {', '.join(known)}")
    return [stage for stage in stages if stage.name in names]


if __name__ == "__main__":
    raise SystemExit(main())
