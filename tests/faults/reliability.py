"""``reports/reliability.md`` from what the long campaign measured.

Figures are kept beside it in ``reliability.json``, by test, so that the campaign may be run in
pieces: each piece replaces its own figures and renders the page anew. A test that fails writes
none, and a figure that is missing is shown as missing.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from tests.faults.faults import FAULTS
from tests.faults.wrong_values import WRONG_VALUES

KILLS = {
    "test_a_run_killed_at_random_moments_ends_in_the_same_bytes": "benchsep run, random moments",
    "test_a_run_killed_at_any_file_operation_ends_in_the_same_bytes": "benchsep run, file by file",
    "test_kept_estimates_and_reports_survive_a_kill": "kept estimates and benchsep report",
    "test_a_training_killed_at_random_moments_draws_the_same_curve": "training, random moments",
    "test_a_training_killed_at_any_file_operation_draws_the_same_curve": "training, file by file",
    "test_an_ablation_killed_at_random_moments_ends_in_the_same_report": (
        "benchsep ablate, random moments (itself, or with all its processes)"
    ),
    "test_pseudo_labelling_killed_at_random_moments_leaves_the_same_shards": (
        "tokensep pseudo-label, random moments"
    ),
    "test_pseudo_labelling_killed_at_any_file_operation_leaves_the_same_shards": (
        "tokensep pseudo-label, file by file"
    ),
}
FUZZ = "test_damaged_inputs_end_in_a_result_or_a_named_error"
MUTANTS = Path(__file__).parents[1] / "mutants.toml"
MEMORY = "test_memory_grows_with_the_signal_and_no_faster"
OTHERS = {
    "test_a_run_on_a_full_disk_says_so_and_continues_once_there_is_room": (
        "Runs on a disk that fills up (a real tmpfs), continued once there is room"
    ),
    "test_damaged_store_files_are_named_set_aside_and_computed_again": (
        "Store files cut short or with a flipped bit"
    ),
    "test_every_misdeed_is_a_row_with_its_reason_and_the_others_go_on": (
        "Systems that raise, lie, hang, leak or die"
    ),
    "test_no_attack_moves_the_cells_of_the_others[-j 1]": (
        "Systems that attack the process of the run, beside two good ones, `-j 1`"
    ),
    "test_no_attack_moves_the_cells_of_the_others[-j 2]": "The same, `-j 2`",
    "test_metrics_that_work_in_windows_grow_with_the_signal_and_no_faster": (
        "Memory that a metric takes for each further signal (float32 stereo), 1 to 4 minutes"
    ),
    "test_models_separate_in_windows_and_grow_with_the_signal_and_no_faster": (
        "Memory that a model takes for each further signal, 1 to 3 minutes (its stems are four; "
        "the bound is 16, of tokensep 18)"
    ),
    "test_a_run_holds_one_song_for_each_worker_however_many_there_are[1]": (
        "Memory of a run of few and of many songs, `-j 1`"
    ),
    "test_a_run_holds_one_song_for_each_worker_however_many_there_are[2]": "The same, `-j 2`",
    "test_two_writers_do_each_job_once_and_the_second_says_so[-j 1]": (
        "Two writers on one run folder, started together"
    ),
    "test_two_writers_do_each_job_once_and_the_second_says_so[--cluster local:2]": (
        "The same, each with two Dask workers"
    ),
}

MEASURED = {*KILLS, FUZZ, MEMORY, *OTHERS}
"""The tests whose figures the page shows; a run of all of them was a whole campaign."""

HEAD = """# Reliability: what was tried, and its results

`make faults` runs the whole campaign within half an hour of CPU time and writes this page; every
test of it has a short form in `make test`. Each figure is of the newest run that finished.
Everything is seeded: the same command makes the same faults.
"""


def write_report(figures: dict[str, dict[str, Any]], folder: Path) -> None:
    """Merge ``figures`` into ``folder/reliability.json`` and render ``folder/reliability.md``."""
    kept = folder / "reliability.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    known.update({name: value for name, value in figures.items() if value})
    text = json.dumps(known, indent=1, sort_keys=True)
    kept.write_text(text + "\n")
    # Rows in the order of the file, whichever test ended first.
    (folder / "reliability.md").write_text(render(json.loads(text)))


def render(figures: dict[str, dict[str, Any]]) -> str:
    measured = (
        *(_kills(figures), _fuzz(figures), _guided(figures), _memory(figures), _others(figures)),
        *(_soak(figures), _mutants(figures)),
    )
    parts = [HEAD, _campaign(figures), *measured, _adversary(), _wrong_values(), _found()]
    return "\n".join(parts)


def _campaign(figures: dict[str, dict[str, Any]]) -> str:
    found = figures.get("campaign")
    if not found:
        return "No whole campaign has finished.\n"
    return (
        f"The last whole campaign: {found['tests']} tests, {found['failed']} failed, "
        f"{found['CPU minutes']} minutes of CPU time, one test after the other.\n"
    )


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _kills(figures: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, what in KILLS.items():
        found = figures.get(name)
        if found is None:
            rows.append((what, "not run", "", ""))
        else:
            runs = found.get("runs", found["kills"])
            rows.append((what, found["kills"], runs, found["different"]))
    return (
        "## Killed\n\nkill -9, then started again until it finishes; the result is compared byte "
        "for byte with one without a kill (cells, tables, report files; curve and weights; "
        "shards). *Random moments*: after a random time. *File by file*: before each open, "
        "rename, unlink or mkdir, also leaving the file empty or cut in half.\n\n"
        + _table(("what", "kills", "finished runs", "different results"), rows)
    )


def _fuzz(figures: dict[str, dict[str, Any]]) -> str:
    kinds = figures.get(FUZZ, {}).get("kinds", {})
    rows = []
    for name, kind in kinds.items():
        outcomes = kind["outcomes"]
        failed = outcomes.get("FAILED", 0)
        read = outcomes.get("read", 0)
        rows.append((name, kind["tries"], read, kind["tries"] - read - failed, failed,
                     f"{kind['slowest']:.2f}", f"{max(0, kind['most_mb']):.0f}"))  # fmt: skip
    total = [sum(row[i] for row in rows) for i in range(1, 5)]
    worst = ("", "") if not rows else (max(float(r[5]) for r in rows), max(int(r[6]) for r in rows))
    rows.append(("**all**", *total, *worst))
    head = ("input", "tries", "read", "refused by name", "failed", "slowest [CPU s]", "most [MB]")
    return (
        "## Bad input\n\nFlipped, cut, doubled, spliced bytes; header fields made absurd; trees "
        "with nodes replaced, removed, renamed; depth. *Failed* is another exception, a crash, "
        "more than 10 s of CPU time or more than 400 MB. The three kinds of weights go through "
        "several readers a try, each of which must answer; they count as read.\n\n"
        + _table(head, rows)
        + figures.get(FUZZ, {}).get("note", "")
        + "\nOne try again: `python -m tests.faults.fuzz --kind WAV --only 1234`.\n"
    )


def _guided(figures: dict[str, dict[str, Any]]) -> str:
    rows = [tuple(row) for row in figures.get("guided fuzzing", {}).get("targets", [])]
    return (
        "## Inputs that follow the coverage\n\n`make fuzz` (atheris 3.0.0): an input that reaches "
        "new code is kept and changed further. A reader must answer within 2 s of CPU time and "
        "400 MB, with a result or one of our errors. What crashed is in `tests/fuzz/crashes`, "
        "which every test run reads.\n\n"
        + _table(("reader", "inputs", "crashes, all fixed"), rows or [("not run", "", "")])
    )


def _soak(figures: dict[str, dict[str, Any]]) -> str:
    found = figures.get("soak", {})
    text = ", ".join(f"{key}: {value}" for key, value in found.items()) or "not run"
    return (
        "## Soak\n\n`make soak`: the same run, disturbed at random until the time is over; its "
        f"cells are compared bit by bit after every round. {text}.\n"
    )


def _adversary() -> str:
    """What :mod:`tests.faults.test_adversary` and the modes of the attacks try, counted there."""
    from tests.faults import test_adversary as tried
    from tests.faults.test_attacks import FAILS, WORKS

    rows = [
        ("what a system returns: types, views, lengths, rates, samples changed afterwards",
         len(tried.RETURNS), "checked anew when it is returned"),
        ("what a system does to its worker: crashes, rights, root, clock, files, threads, modules",
         len(FAILS) + len(WORKS), "good systems keep their cells, byte for byte"),
        ("what a metric answers", len(tried.ANSWERS), "a value or a reason"),
        ("names of tracks: control characters, options, forms of Unicode, cases, 240 bytes",
         len(tried.NAMES), "a record each, found again as estimates"),
        ("a record cut at each byte, or with one byte changed", "all",
         "never taken for a record"),
        ("an error (no room, broken disk, quota, read-only) at each file that is opened to be "
         "written", f"{len(tried.CODES)} x all", "the file is named, nothing is lost"),
        ("a folder moved, deleted or cleaned during a run; other settings in one folder; a clock "
         "that runs backwards or stands still; what is no file in place of a stem or a record", 19,
         "named, or without effect"),
    ]  # fmt: skip
    return "## Adversaries and bad luck\n\n" + _table(("attack", "kinds", "now"), rows)


def _mutants(figures: dict[str, dict[str, Any]]) -> str:
    rows = [tuple(row) for row in figures.get("mutants", {}).get("modules", [])]
    head = ("group", "drawn", "of", "killed", "survived", "of these without an effect", "score")
    groups = tomllib.loads(MUTANTS.read_text(encoding="utf-8"))["groups"]
    excused = [
        f"- `{entry['function']}`, `{entry['line']}`: {entry['why']}\n"
        for group in groups.values()
        for entry in group.get("equivalent", [])
    ]
    return (
        "## Mutants\n\n`make mutants`: mutmut 3.8.1 changes one expression at a time; a test must "
        "fail. Mutants are drawn at random (seed 22), and the tests are those of the group alone "
        "(`tests/mutants.toml`). The score is over the mutants that have an effect.\n\n"
        + _table(head, rows or [("not run", *[""] * 6)])
        + figures.get("mutants", {}).get("note", "")
        + ("\nChanges without an effect that a test can see:\n\n" if excused else "")
        + "".join(excused)
    )


def _memory(figures: dict[str, dict[str, Any]]) -> str:
    found = figures.get(MEMORY)
    if not found:
        return "## Memory\n\nnot run\n"
    minutes: dict[str, dict[str, Any]] = found["minutes"]
    steps = list(found["growth"])
    rows = [
        (f"{float(m):g} min", f"{v['signal_mb']:.0f}", *(f"{v[s]:.0f}" for s in steps))
        for m, v in sorted(minutes.items(), key=lambda item: float(item[0]))
    ]
    rows.append(("**growth per signal**", "1", *(found["growth"][s] for s in steps)))
    return (
        "## Memory\n\nPeak resident memory [MB] of one process that reads, separates and scores "
        "a song (44.1 kHz stereo, float32 in memory). The bound that the test holds: seven "
        "signals for each step.\n\n"
        + _table(("song", "the signal itself", *steps), rows)
        + "\nHeld to it at an hour: reading, a system that copies, uSDR, SI-SDR. What models, "
        "MR-STFT, LSD, logWMSE, BSSEval, ViSQOL and DNSMOS take of a longer song was measured over "
        "a few minutes and is in the table below.\n"
    )


def _others(figures: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, what in OTHERS.items():
        found = figures.get(name)
        text = "not run" if not found else ", ".join(
            f"{key.replace('_', ' ')}: {value}" for key, value in found.items())  # fmt: skip
        rows.append((what, text))
    return "## Full disks, damage, faulty systems, memory, two writers\n\n" + _table(
        ("what", "figures"), rows
    )


def _wrong_values() -> str:
    rows = [(w.case, w.cause, w.cure, f"`{w.test}`") for w in WRONG_VALUES]
    return f"## Wrong values with status ok, found and fixed: {len(WRONG_VALUES)}\n\n" + _table(
        ("case", "cause", "cure", "regression test (default run)"), rows
    )


def _found() -> str:
    rows = [(f.description, f.fix, f"`{f.test}`") for f in FAULTS]
    return (
        f"## Found and fixed: {len(FAULTS)}\n\n"
        + _table(("what was wrong", "the fix", "regression test (default run)"), rows)
        + LEFT
    )


LEFT = """
## Known and left
- demucs' official checkpoints carry eight hexadecimal digits of their sha256 in their names; that
  is what downloads are checked with, as upstream publishes no more. NISQA's weights are checked
  with all 64.
- libsndfile 1.2.2 crashes when it *encodes* Ogg Vorbis at 384 kHz or µ-law from NaN; benchsep
  writes neither.
- A machine that loses power may lose what `fsync` was not called for: audio, shards, weights and
  logs of a training are renamed but only text, figures and estimates are synced.
- Limits of memory were tried by `ulimit -v`. A control group, whose kernel kills the process, was
  not: where the campaign ran, the memory controller was cgroup 1, its groups were those of the
  machine's own supervisor, and there was no systemd to make one. A worker that is killed by SIGKILL
  stands for it.
- A system in a worker is foreign code in a process of benchsep: the attacks above cost it its own
  rows, and one that means to cheat can still read what its user can read, the true stems included.
"""
