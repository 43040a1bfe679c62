"""The gate fails when a score moved or when it did not look, and is silent otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from benchsep.errors import DriftError, UsageError
from benchsep.gate.baseline import read_baseline, write_baseline
from benchsep.gate.check import DriftReport
from benchsep.gate.check import check as check_drift
from benchsep.gate.render import render, render_noise
from benchsep.gate.tolerance import Tolerance, noise, parse_tolerance
from benchsep.metrics.catalog import traits_of_columns
from benchsep.metrics.metric import ValueTraits
from benchsep.runner.frame import load_run
from benchsep.runner.store import Store
from benchsep.runner.traits import traits_in

TRAITS = {
    "bsseval.sdr": ValueTraits("sdr", +1, "dB", None, None),
    "visqol": ValueTraits("", +1, "MOS", 1, 5),
    "leak": ValueTraits("", -1, "dB", None, None),
}
DECLARED = {c: t.drift for c, t in traits_of_columns(TRAITS).items()}
MANIFEST = {"suite": {"seed": 0, "draws": 1}, "code": {"sha": "abc", "dirty": False}}


def a_run(
    seed: int = 0, *, songs: int = 6, noise: float = 0.0, systems=("one@mini", "two")
) -> pd.DataFrame:
    base = np.random.default_rng(7)
    jitter = np.random.default_rng(seed)
    rows = [
        {
            "system": system,
            "family": "generative",
            "track": f"Song – {song}",
            "stem": stem,
            "metric": metric,
            "draw": 0,
            "value": base.normal(3, 1) + noise * jitter.normal(),
            "status": "ok",
            "edition": "clip",
            "frames": None,
            "seconds": 0.1,
            "key": "k",
            "reference_sha256": f"sha-{song}-{stem}",
            "mixture_sha256": f"mix-{song}",
            "estimate_id": "e",
            "metric_version": "1",
            "checkpoint_sha256": "c" * 64,
        }
        for system in systems
        for song in range(songs)
        for stem in ("vocals", "drums")
        for metric in TRAITS
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    write_baseline(a_run(), MANIFEST, path, TRAITS)
    return path


def check(frame: pd.DataFrame, baseline: Path, **options) -> DriftReport:
    return check_drift(frame, MANIFEST, baseline, **options)


def test_the_same_run_passes_whatever_its_row_order(baseline):
    report = check(a_run().sample(frac=1, random_state=1), baseline)
    assert not report.failed
    assert report.compared == len(a_run())
    assert report.reasons == report.improvements == report.notes == ()


def test_the_baseline_is_strict_json_a_line_per_estimate(baseline):
    text = baseline.read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert sum(line.startswith('    {"system"') for line in text.splitlines()) == 2 * 6 * 2
    assert list(baseline.parent.iterdir()) == [baseline]  # no temporary file stays


def test_one_cell_beyond_its_tolerance_fails_and_is_named(baseline):
    frame = a_run()
    frame.loc[1, "value"] -= 0.05
    report = check(frame, baseline)
    assert report.failed
    (row,) = [row for row in report.rows if row.verdict != "ok"]
    assert (row.metric, row.verdict, round(row.difference, 4)) == ("visqol", "drifted", -0.05)
    assert "visqol" in report.reasons[0]


def test_a_cell_within_its_tolerance_passes(baseline):
    frame = a_run()
    frame.loc[1, "value"] -= 0.008
    assert not check(frame, baseline).failed


def test_a_small_shift_of_all_songs_fails_by_the_mean(baseline):
    frame = a_run()
    one = (frame["metric"] == "visqol") & (frame["system"] == "two") & (frame["stem"] == "drums")
    frame.loc[one, "value"] -= 0.008
    report = check(frame, baseline)
    assert {row.verdict for row in report.rows} == {"ok"}
    assert report.reasons == (
        "two drums visqol: mean of 6 songs moved -0.008, tolerance 0.005 (declared)",
    )


@pytest.mark.parametrize(("metric", "better"), [("bsseval.sdr", 0.5), ("leak", -0.5)])
def test_improvement_is_reported_and_fails_only_when_strict(baseline, metric, better):
    frame = a_run()
    frame.loc[frame["metric"] == metric, "value"] += better
    report = check(frame, baseline)
    assert not report.failed
    assert report.improvements
    assert check(frame, baseline, strict=True).failed
    frame.loc[frame["metric"] == metric, "value"] -= 2 * better
    assert check(frame, baseline).failed


def test_a_metric_without_declared_tolerance_may_only_round(baseline):
    frame = a_run()
    frame.loc[2, "value"] += 1e-4
    assert check(frame, baseline).failed


def test_zero_rows_fail(baseline):
    report = check(a_run().iloc[:0], baseline)
    assert report.failed
    assert any("nothing was compared" in reason for reason in report.reasons)


def test_all_values_missing_fail(baseline):
    frame = a_run().assign(value=np.nan, status="failed: out of memory")
    report = check(frame, baseline)
    assert report.failed and report.compared == 0


def test_statuses_in_both_compare_nothing_and_fail(tmp_path):
    frame = a_run()
    frame.loc[frame["metric"] == "visqol", ["value", "status"]] = [np.nan, "ref_silent"]
    write_baseline(frame, MANIFEST, tmp_path / "b.json", TRAITS)
    report = check(frame, tmp_path / "b.json")
    assert report.reasons == ("nothing was compared for visqol",)


def test_a_missing_song_fails(baseline):
    report = check(a_run().query("track != 'Song – 3'"), baseline)
    assert report.failed
    assert {row.track for row in report.rows if row.verdict == "missing"} == {"Song – 3"}


def test_an_extra_cell_fails(baseline):
    report = check(a_run(systems=("one@mini", "two", "three")), baseline)
    assert report.failed
    assert "not in the baseline" in report.reasons[0]
    assert {row.why for row in report.rows if row.verdict == "extra"} == {"not in the baseline"}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("edition", "hq", "edition changed: clip -> hq"),
        ("metric_version", "2", "metric version of visqol changed: 1 -> 2"),
        ("metric_version", "2" * 21, f"metric version of visqol changed: 1 -> {'2' * 12}"),
        ("checkpoint_sha256", "d" * 64, "checkpoint of one@mini changed: cccccccccccccccc -> dddd"),
    ],
)
def test_changed_identity_fails_though_values_agree(baseline, column, value, words):
    report = check(a_run().assign(**{column: value}), baseline)
    assert report.failed
    assert any(words in reason for reason in report.reasons)
    assert not any("2" * 13 in reason for reason in report.reasons), "long texts are cut"


def test_changed_reference_audio_is_named(baseline):
    frame = a_run()
    frame.loc[(frame["track"] == "Song – 2") & (frame["stem"] == "drums"), "reference_sha256"] = "x"
    assert check(frame, baseline).reasons == ("reference audio of 'Song – 2' changed: drums",)


def test_a_changed_mixture_is_named(baseline):
    frame = a_run()
    frame.loc[frame["track"] == "Song – 2", "mixture_sha256"] = "x"
    assert check(frame, baseline).reasons == ("mixture of 'Song – 2' changed",)


def test_another_seed_is_a_note(baseline):
    report = check_drift(a_run(), {"suite": {"seed": 3, "draws": 1}}, baseline)
    assert not report.failed
    assert report.notes == ("seed 0 -> 3",)


def test_a_changed_status_fails(baseline):
    frame = a_run()
    frame.loc[0, ["value", "status"]] = [np.nan, "est_silent"]
    report = check(frame, baseline)
    assert report.failed
    assert [row.why for row in report.rows if row.verdict == "missing"] == ["ok -> est_silent"]


def test_ill_conditioned_values_may_move_but_not_become_ok(tmp_path):
    frame = a_run()
    frame.loc[0, "status"] = "ill_conditioned"
    write_baseline(frame, MANIFEST, tmp_path / "b.json", TRAITS)
    moved = frame.copy()
    moved.loc[0, "value"] += 9
    assert not check(moved, tmp_path / "b.json").failed
    moved.loc[0, "status"] = "ok"
    assert check(moved, tmp_path / "b.json").failed


def test_an_unavailable_metric_is_not_a_baseline_and_not_a_pass(tmp_path, baseline):
    absent = a_run()
    absent.loc[absent["metric"] == "visqol", ["value", "status"]] = [np.nan, "unavailable: pip"]
    write_baseline(absent, MANIFEST, tmp_path / "b.json", TRAITS)
    report = check(absent, tmp_path / "b.json")
    assert not report.failed and "unavailable" in report.notes[0]
    assert check(absent, baseline).failed
    assert check(a_run(), tmp_path / "b.json").failed


def test_what_the_signals_do_not_have_is_no_baseline_and_a_change_where_a_value_was(
    tmp_path, baseline
):
    undefined = a_run()
    undefined.loc[undefined["metric"] == "visqol", ["value", "status"]] = [np.nan, "undefined: x"]
    write_baseline(undefined, MANIFEST, tmp_path / "b.json", TRAITS)
    assert "undefined" not in (tmp_path / "b.json").read_text()
    report = check(undefined, tmp_path / "b.json")
    count = (undefined["metric"] == "visqol").sum()
    assert not report.failed
    assert report.notes[0] == (
        f"{count} cells are undefined here and absent from the baseline: left out: visqol ({count})"
    )
    assert check(undefined, baseline).failed
    assert check(a_run(), tmp_path / "b.json").failed


def test_a_baseline_of_an_older_version_is_read_with_the_kinds_of_today(tmp_path, baseline):
    content = json.loads(Path(baseline).read_text())
    metric, row = "visqol", content["cells"][0]
    row["values"][metric] = "unavailable: no onset matched"
    (tmp_path / "old.json").write_text(json.dumps(content))
    frame = a_run()
    here = frame[["system", "track", "stem"]] == [row[k] for k in ("system", "track", "stem")]
    here = here.all(axis=1) & (frame["draw"] == row["draw"]) & (frame["metric"] == metric)
    assert here.sum() == 1
    frame.loc[here, ["value", "status"]] = [np.nan, "undefined: no onset matched"]
    assert not check(frame, tmp_path / "old.json").failed
    frame.loc[here, "status"] = "unavailable: no onset matched"
    assert check(frame, tmp_path / "old.json").failed


def test_only_chosen_metrics_are_compared(baseline):
    frame = a_run()
    frame.loc[frame["metric"] == "leak", "value"] += 9
    assert not check(frame, baseline, metrics=["visqol"]).failed
    assert check(frame, baseline, metrics=["typo"]).failed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.iloc[:0], "editions? .*|has no value"),
        (lambda f: f.assign(status="failed: oops", value=np.nan), "failed cells"),
        (lambda f: pd.concat([f, f]), "two rows"),
        (
            lambda f: f.assign(metric="mystery", track=range(len(f))),
            "direction of the metric mystery is unknown",
        ),
        (lambda f: f.assign(edition=["hq"] + ["clip"] * (len(f) - 1)), "one edition"),
        (lambda f: f.assign(value=np.nan), "status ok but no finite value"),
    ],
)
def test_no_baseline_is_written_of_a_run_that_measures_nothing(tmp_path, change, words):
    with pytest.raises(DriftError, match=words):
        write_baseline(change(a_run()), MANIFEST, tmp_path / "b.json", TRAITS)
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("text", ["{", '{"format": "other"}', '{"format": NaN}', "[]"])
def test_a_file_that_is_no_baseline_is_refused(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(DriftError, match="write it again"):
        read_baseline(tmp_path / "b.json")
    with pytest.raises(DriftError, match="benchsep baseline"):
        read_baseline(tmp_path / "absent.json")


def test_given_tolerances_win_over_measured_over_declared(tmp_path):
    measured = noise([a_run(seed, noise=0.1) for seed in range(4)])
    given = {"bsseval": Tolerance(9, 9, "because")}
    path = tmp_path / "b.json"
    write_baseline(a_run(), MANIFEST, path, TRAITS, tolerances=given, measured=measured)
    sources = {group.metric: group.source for group in check(a_run(), path).groups}
    assert sources == {"bsseval.sdr": "given", "visqol": "measured", "leak": "measured"}


def test_repeats_that_never_moved_leave_the_declared_tolerance(tmp_path):
    """Repeats on one machine agree to the bit; another processor must still pass."""
    measured = noise([a_run(), a_run()])
    path = tmp_path / "b.json"
    write_baseline(a_run(), MANIFEST, path, TRAITS, measured=measured)
    moved = a_run()
    moved.loc[moved["metric"] == "visqol", "value"] -= 0.9 * DECLARED["visqol"].mean
    report = check(moved, path)
    assert not report.failed
    assert {g.source for g in report.groups if g.metric == "visqol"} == {"declared"}
    moved.loc[moved["metric"] == "visqol", "value"] -= 0.2 * DECLARED["visqol"].mean
    assert check(moved, path).failed


@pytest.mark.parametrize(
    ("column", "words"),
    [("metric_version", "metric versions .bsseval.sdr: 1, 9"),
     ("metric_id", "metric settings .bsseval.sdr: 1, 9"), ("edition", "edition .clip, 9"),
     ("mixture_sha256", "mixtures .Song"), ("reference_sha256", "references .Song"),
     ("checkpoint_sha256", "checkpoints .one@mini")],
)  # fmt: skip
def test_runs_of_other_inputs_are_no_repeats(column, words):
    """Their difference would be a tolerance under which no drift is found."""
    with pytest.raises(DriftError, match=f"run 2 and run 1 differ in their {words}"):
        noise(
            [a_run().assign(metric_id="1"), a_run().assign(metric_id="1").assign(**{column: "9"})]
        )


def test_measured_noise_widens_the_declared_tolerance_and_never_narrows_it(tmp_path):
    path = tmp_path / "b.json"
    for sd, source in ((1e-4, "declared"), (0.1, "measured")):
        measured = noise([a_run(seed, noise=sd) for seed in range(4)])
        write_baseline(a_run(), MANIFEST, path, TRAITS, measured=measured)
        for group in check(a_run(), path).groups:
            declared = DECLARED.get(group.metric)
            if declared is not None:
                assert group.tolerance >= declared.mean and group.source == source


def test_a_status_of_no_known_kind_is_refused_by_name(tmp_path, baseline):
    frame = a_run()
    frame.loc[3, "status"] = "okay"
    with pytest.raises(DriftError, match=r"drums / .* unknown status 'okay'; expected one of"):
        check(frame, baseline)
    text = baseline.read_text(encoding="utf-8")
    content = json.loads(text)
    content["cells"][0]["values"]["visqol"] = "okay"
    baseline.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DriftError, match=r"cells\[0\] is not a row of values"):
        read_baseline(baseline)


def test_a_tolerance_on_the_command_line_is_checked():
    name, found = parse_tolerance("tokensep@mini visqol=0.3/0.1")
    assert (name, found.cell, found.mean) == (
        "tokensep@mini visqol",
        0.3,
        0.1,
    )
    assert parse_tolerance("usdr=0.2")[1].mean == 0.2
    for bad in (
        "visqol",
        "visqol=x",
        "=1",
        "visqol=0.1/0.3",
        "visqol=-1",
        "visqol=nan",
        "visqol=inf",
    ):
        with pytest.raises(DriftError, match="METRIC=CELL/MEAN"):
            parse_tolerance(bad)


def test_noise_equals_the_pooled_standard_deviation():
    frames = [a_run(seed, noise=0.1) for seed in range(3)]
    found = noise(frames)["two", "drums", "visqol"]
    stack = np.array(
        [
            f.query("system == 'two' and stem == 'drums' and metric == 'visqol'").value
            for f in frames
        ]
    )
    assert found.sd == pytest.approx(np.sqrt(stack.var(axis=0, ddof=1).mean()), abs=1e-5)
    assert (found.df, found.runs) == (12, 3)
    assert found.worst == pytest.approx(np.ptp(stack, axis=0).max(), abs=1e-5)


def test_the_noise_table_has_a_row_per_group():
    text = render_noise(noise([a_run(seed, noise=0.1) for seed in range(3)]))
    assert len(text.splitlines()) == 2 + 2 * 2 * 3 + 2


def test_noise_needs_runs_that_hold_the_same_cells():
    with pytest.raises(DriftError, match="at least two"):
        noise([a_run()])
    with pytest.raises(DriftError, match="differ in"):
        noise([a_run(), a_run(songs=5)])


class _Gate:
    """Measure noise, write a baseline and check a shifted run, all from one seed."""

    def __init__(self, path: Path, alpha: float) -> None:
        self.path, self.alpha = path, alpha
        frame = a_run(songs=8, systems=("one",))
        self.frame = frame[frame["stem"] == "vocals"].query("metric != 'leak'")

    def fails(self, seed: int, shifted: bool) -> bool:
        rng = np.random.default_rng(seed)
        runs = [
            self.frame.assign(value=self.frame["value"] + 0.1 * rng.normal(size=len(self.frame)))
            for _ in range(6)
        ]
        measured = noise(runs[:4])
        write_baseline(runs[4], MANIFEST, self.path, TRAITS, measured=measured)
        report = check_drift(runs[5], MANIFEST, self.path, alpha=self.alpha, strict=not shifted)
        if shifted:
            (printed,) = [g.detectable for g in report.groups if g.metric == "visqol"]
            hit = runs[5]["metric"] == "visqol"
            moved = runs[5].assign(value=runs[5]["value"] - printed * hit)
            report = check_drift(moved, MANIFEST, self.path, alpha=self.alpha)
        return report.failed


def test_false_alarms_and_power_are_as_promised(tmp_path):
    """H0: alarms at most at the nominal 10 %; a shift of the printed size: found in 80 %.

    Bounds are four binomial standard errors at these repeats, from fixed seeds. Without a shift
    the check is strict: the level is two-sided, so alarms in either direction count.
    """
    repeats, gate = 80, _Gate(tmp_path / "b.json", alpha=0.1)
    alarms = np.mean([gate.fails(seed, shifted=False) for seed in range(repeats)])
    power = np.mean([gate.fails(seed, shifted=True) for seed in range(1000, 1000 + repeats)])
    assert alarms <= 0.1 + 4 * np.sqrt(0.1 * 0.9 / repeats)
    assert power >= 0.8 - 4 * np.sqrt(0.8 * 0.2 / repeats)


def test_a_tolerance_can_be_given_to_one_system(tmp_path):
    given = {"two visqol": Tolerance(1.0, 1.0, "it samples")}
    write_baseline(a_run(), MANIFEST, tmp_path / "b.json", TRAITS, tolerances=given)
    frame = a_run()
    frame.loc[(frame["metric"] == "visqol") & (frame["system"] == "two"), "value"] -= 0.5
    assert not check(frame, tmp_path / "b.json").failed
    frame.loc[(frame["metric"] == "visqol"), "value"] -= 0.5
    assert check(frame, tmp_path / "b.json").failed


class TestOutput:
    @pytest.fixture
    def report(self, baseline):
        frame = a_run()
        frame["track"] = frame["track"].replace("Song – 0", "a|b <x> & \x07\n100%")
        frame.loc[10, "value"] -= 1
        return check(frame, baseline)

    def test_table_names_reasons_cells_and_detectable_shift(self, report):
        text = render(report)
        assert text.startswith("drift gate FAILED")
        assert "missing" in text and "detects" in text

    def test_markdown_keeps_its_columns(self, report):
        lines = [x for x in render(report, "md").splitlines() if x.startswith("|")]
        assert {x.replace("\\|", "").count("|") for x in lines} <= {7, 9, 10}

    def test_json_is_strict_and_complete(self, report):
        content = json.loads(render(report, "json"), parse_constant=lambda x: pytest.fail(x))
        assert content["failed"] and len(content["cells"]) == len(report.rows)

    def test_junit_parses_and_counts_its_failures(self, report):
        suite = ElementTree.fromstring(render(report, "junit").encode())[0]
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("tests")) == len(suite.findall("testcase"))

    def test_github_annotations_are_one_line_each(self, report):
        lines = render(report, "github").splitlines()
        assert all(line.startswith(("::error title=", "::notice title=")) for line in lines)
        assert len(lines) == len(report.reasons) + len(report.improvements) + 1

    def test_an_unknown_form_is_refused(self, report):
        with pytest.raises(UsageError, match="junit"):
            render(report, "pdf")


def _real_run(out: Path, threads: int) -> pd.DataFrame:
    """A run of the real clip in a process of its own, as thread pools are sized at import."""
    counts = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
        str(threads),
    )
    options = "--dataset clip --systems oracle-irm --no-yardsticks --metrics usdr,visqol,mrstft"
    words = ["run", *options.split(), "--stems", "vocals,bass", "-j", "1", "-o", str(out)]
    subprocess.run(
        [sys.executable, "-c", "from benchsep.cli.app import main; main()", *words],
        check=True,
        env={**os.environ, **counts},
        capture_output=True,
    )
    return load_run(out)


def test_real_runs_with_other_thread_counts_are_silent_and_a_real_shift_is_not(tmp_path):
    one, two = (_real_run(tmp_path / str(n), n) for n in (1, 2))
    manifest = Store(tmp_path / "1").manifest()
    traits = traits_in(one, manifest)
    write_baseline(one, manifest, tmp_path / "b.json", traits)
    report = check_drift(two, manifest, tmp_path / "b.json")
    assert not report.failed and report.compared == len(one) == 6
    for metric in traits:
        (printed,) = {g.detectable for g in report.groups if g.metric == metric}
        worse = -1.01 * printed * traits[metric].direction * (two["metric"] == metric)
        shifted = two.assign(value=two["value"] + worse)
        assert check_drift(shifted, manifest, tmp_path / "b.json").failed


def test_what_is_not_compared_is_named_and_noise_is_measured_only_where_it_was(tmp_path):
    frame = a_run()
    frame.loc[0, ["value", "status"]] = [np.nan, "ref_silent"]
    frame.loc[1, "status"] = "ill_conditioned"
    metric, ill = frame.loc[0, "metric"], frame.loc[1, "metric"]
    write_baseline(frame, MANIFEST, tmp_path / "b.json", TRAITS)
    report = check(frame, tmp_path / "b.json")
    assert set(report.notes) >= {
        f"1 cell compared by status alone, without a value in both: ref_silent of {metric} (1)",
        "1 cell compared by status alone, ill-conditioned in both: such values are noise: "
        f"{ill} (1)",
    }
    text = render(report)
    assert "No noise was measured" in text and "alarm" not in text
    measured = noise([a_run(seed, noise=0.1) for seed in range(4)])
    write_baseline(a_run(), MANIFEST, tmp_path / "m.json", TRAITS, measured=measured)
    assert "false-alarm rate" in render(check(a_run(), tmp_path / "m.json"))


def test_a_reason_of_many_cells_is_said_once(baseline):
    absent = a_run()
    reason = "unavailable: weights absent: " + "x" * 80
    absent.loc[absent["metric"] == "visqol", ["value", "status"]] = [np.nan, reason]
    text = render(check(absent, baseline))
    assert text.count("x" * 80) == 1 and "nothing was compared for visqol" in text
