"""What a table promises its reader."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchsep import stats
from benchsep.audio import STEMS
from benchsep.errors import UsageError
from benchsep.metrics.metric import ValueTraits
from benchsep.report.tables.build import tables
from benchsep.report.tables.captions import HOW_TO_READ
from benchsep.report.tables.latex import latex_document
from benchsep.report.tables.model import Table, format_value
from benchsep.report.tables.render import render
from benchsep.report.tables.spread import DRAWS_AND_TAILS, with_spread_tables
from tests.helpers.sample_run import SYSTEMS, TRACKS, make_rows

Traits = dict[str, ValueTraits]
RANKED = [s for s, f in SYSTEMS.items() if f not in ("mixture", "oracle")]
FORMATS = ("md", "tex", "csv", "json", "html", "terminal")


@pytest.fixture
def made(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> list[Table]:
    return tables(frame, costs, manifest, traits)


def titled(made: list[Table], start: str) -> Table:
    return next(t for t in made if t.title.startswith(start))


def test_no_db_value_heads_a_mixed_report(made: list[Table]) -> None:
    assert [t.title.split(" (")[0] for t in made] == [
        "Overview: mean over stems", "ViSQOL", "MR-STFT", "DNSMOS and NISQA on vocals",
        "uSDR", "cSDR",
    ]  # fmt: skip
    units = [c.unit for c in made[0].columns if c.kind == "score"]
    assert units == sorted(units), "tolerant values come before those in dB"


def test_values_are_the_aggregates_of_the_songs(made: list[Table], frame: pd.DataFrame) -> None:
    for metric, how in (("visqol", "mean"), ("bsseval.sdr", "median")):
        table = next(t for t in made[1:] if t.columns[0].metric == metric)
        part = frame[(frame.system == "htdemucs@mini") & (frame.metric == metric)]
        stems = part.groupby("stem")["value"].agg(how)
        cell = table.cell("htdemucs@mini", metric, "bass")
        assert cell is not None and cell.value == pytest.approx(stems["bass"])
        average = table.cell("htdemucs@mini", metric, "average")
        assert average is not None and average.value == pytest.approx(stems.mean())


def test_families_are_grouped_and_yardsticks_stand_apart(made: list[Table]) -> None:
    assert [(head, [r.system for r in rows]) for head, rows in made[1].groups()] == [
        ("Generative", ["tokensep@mini"]),
        ("Discriminative", ["bs_roformer@mini", "htdemucs@mini"]),
        ("Reference systems (not ranked)", ["mixture", "reference", "oracle-irm"]),
    ]


def test_only_ranked_systems_are_best(made: list[Table]) -> None:
    visqol = titled(made, "ViSQOL")
    best = {r.system for r in visqol.rows for c in r.cells[:5] if c.best}
    assert best == {"bs_roformer@mini"}
    lower = titled(made, "MR-STFT")
    assert {r.system for r in lower.rows for c in r.cells if c.best} == {"bs_roformer@mini"}


def test_ties_at_the_printed_precision_are_best_together(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    chosen = frame.system.isin(["tokensep@mini", "htdemucs@mini"]) & (frame.metric == "visqol")
    frame.loc[chosen, "value"] = 4.0
    frame.loc[chosen & (frame.system == "tokensep@mini"), "value"] = 4.001
    table = titled(tables(frame, costs, manifest, traits), "ViSQOL")
    best = {r.system for r in table.rows if r.cells[0].best}
    assert best == {"tokensep@mini", "htdemucs@mini"}


def test_a_metric_that_fails_across_families_warns_and_ranks_within_one(
    made: list[Table],
) -> None:
    sdr = titled(made, "cSDR")
    assert any("cannot compare generative with discriminative" in w for w in sdr.warnings)
    assert not any(c.best for r in sdr.rows if r.family == "generative" for c in r.cells)
    assert not any("cannot compare" in w for w in titled(made, "MR-STFT").warnings)


def test_one_family_alone_gets_no_such_warning(
    costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    one = {k: v for k, v in SYSTEMS.items() if v != "generative"}
    found = tables(pd.DataFrame(make_rows(one)), costs, manifest, traits)
    assert not any("cannot compare" in w for t in found for w in t.warnings)


def _lose(frame: pd.DataFrame, system: str, status: str = "failed: boom") -> pd.DataFrame:
    row = (frame.system == system) & (frame.track == TRACKS[0]) & (frame.stem == "drums")
    frame.loc[row & (frame.metric == "visqol"), ["value", "status"]] = [float("nan"), status]
    return frame


def test_a_missing_song_leaves_the_comparison_for_everybody_and_shows(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    found = tables(_lose(frame, "bs_roformer@mini"), costs, manifest, traits)
    table = titled(found, "ViSQOL")
    part = frame[(frame.metric == "visqol") & (frame.stem == "drums") & (frame.track != TRACKS[0])]
    for system in SYSTEMS:
        drums = table.cell(system, "visqol", "drums")
        assert drums is not None and (drums.n, drums.total) == (2, 3), system
        assert drums.value == pytest.approx(part[part.system == system]["value"].mean())
    assert any(r.cells[1].best for r in table.rows), "over the same songs, ranking is fair"
    assert " 2/3" in render(found, "md") and "2/3" in render(found, "tex")


def test_a_yardstick_with_a_gap_costs_the_others_nothing(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    table = titled(tables(_lose(frame, "oracle-irm"), costs, manifest, traits), "ViSQOL")
    cell = table.cell("htdemucs@mini", "visqol", "drums")
    assert cell is not None and cell.n == 3


@pytest.mark.parametrize("gap", ["", "bs_roformer@mini", "oracle-irm", "everything"])
def test_gains_are_paired_means_of_the_songs_that_both_have(
    gap: str, frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    for system in SYSTEMS if gap == "everything" else [gap] if gap else []:
        frame = _lose(frame, system, "ref_silent")
    made = tables(frame, costs, manifest, traits, improvement=True)
    table = titled(made, "ViSQOL")
    for stem in (*STEMS, "average"):
        visqol = frame[frame.metric == "visqol"]
        if stem != "average":
            visqol = visqol[visqol.stem == stem]
        wide = visqol.pivot_table(
            index="track", columns="system", values="value", aggfunc=lambda x: x.mean(skipna=False),
            dropna=False,
        )  # fmt: skip
        common = wide[RANKED].dropna().index
        for system in SYSTEMS:
            songs = wide.loc[common, system].dropna()
            cell = table.cell(system, "visqol", stem)
            assert cell is not None and (cell.n, cell.total) == (len(songs), 3)
            assert cell.value == pytest.approx(songs.mean(), abs=1e-9)
            gain = table.cell(system, "visqol", stem, "gain")
            paired = (wide[system] - wide["mixture"]).loc[common].dropna()
            if system == "mixture":
                assert gain is not None and gain.value is None
            else:
                assert gain is not None and gain.n == len(paired)
                assert gain.value == pytest.approx(paired.mean(), abs=1e-9)


def test_intervals_and_letters_are_added_on_request(
    costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    songs = tuple(f"song {i:02d}" for i in range(12))
    rows = pd.DataFrame(make_rows(metrics=("visqol", "usdr"), tracks=songs))
    plain = tables(rows, costs, manifest, traits)
    full = tables(rows, costs, manifest, traits, intervals=True)
    cell = titled(full, "ViSQOL").cell("htdemucs@mini", "visqol", "average")
    assert cell is not None and cell.value is not None
    assert cell.low is not None and cell.high is not None and cell.low < cell.value < cell.high
    assert cell.letters in ("a", "b", "ab")
    assert "; [ ]: 95 % BCa" in titled(full, "ViSQOL").caption[0]
    assert titled(plain, "ViSQOL").cell("htdemucs@mini", "visqol", "average").value == cell.value
    assert "95 %" not in titled(plain, "ViSQOL").caption[0]
    for format in FORMATS:
        assert render(full, format)


def test_songs_without_any_cell_of_a_metric_count_as_missing(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    part = frame[(frame.metric != "visqol") | (frame.track != TRACKS[0])]
    cell = titled(tables(part, costs, manifest, traits), "ViSQOL").rows[0].cells[0]
    assert (cell.n, cell.total) == (2, 3)


def test_songs_that_nobody_can_score_do_not_stop_the_ranking(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    for system in SYSTEMS:
        frame = _lose(frame, system, "ref_silent")
    table = titled(tables(frame, costs, manifest, traits), "ViSQOL")
    assert any(r.cells[1].best for r in table.rows)


def test_ill_conditioned_values_are_kept_and_not_ranked(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    row = (frame.system == "bs_roformer@mini") & (frame.metric == "visqol")
    frame.loc[row & (frame.stem == "bass"), "status"] = "ill_conditioned"
    table = titled(tables(frame, costs, manifest, traits), "ViSQOL")
    cell = table.cell("bs_roformer@mini", "visqol", "bass")
    assert cell is not None and cell.value is not None and cell.ill_conditioned and not cell.best
    assert "†" in render([table], "md")
    assert [r.system for r in table.rows if r.cells[2].best] == ["htdemucs@mini"]


def test_a_lucky_draw_does_not_enter(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    second = frame[frame.system == "tokensep@mini"].copy()
    second["draw"], second["value"] = 1, second["value"] + 1.0
    both = pd.concat([frame, second], ignore_index=True)
    one = titled(tables(frame, costs, manifest, traits), "ViSQOL")
    two = titled(tables(both, costs, manifest, traits), "ViSQOL")
    before, after = (t.cell("tokensep@mini", "visqol", "bass") for t in (one, two))
    assert before is not None and before.value is not None and after is not None
    assert after.value == pytest.approx(before.value + 0.5)
    assert any("2 draws" in line for line in two.caption)


def test_a_column_without_values_says_why(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    row = frame.metric == "nisqa.mos"
    frame.loc[row, "value"] = float("nan")
    frame.loc[row, "status"] = "unavailable: weights are missing"
    found = tables(frame, costs, manifest, traits)
    table = titled(found, "DNSMOS and NISQA")
    cells = [table.cell(system, "nisqa.mos", "vocals") for system in SYSTEMS]
    assert [(c.value, c.note, c.n) for c in cells if c] == [(None, "unavailable", 0)] * 6
    assert all(r.cells[0].value is not None for r in table.rows), "DNSMOS is not concerned"
    rows = [line for line in render([table], "md").splitlines() if line.startswith("| ")]
    for system in SYSTEMS:
        line = next(row for row in rows if row.startswith(f"| {system} "))
        assert line.split(" | ")[2].strip(" |") == "unavailable"


def test_speech_models_are_not_ranked_without_the_true_vocals(
    costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    without = {k: v for k, v in SYSTEMS.items() if k != "reference"}
    found = tables(pd.DataFrame(make_rows(without)), costs, manifest, traits)
    table = titled(found, "DNSMOS and NISQA")
    assert not any(c.best for r in table.rows for c in r.cells)
    assert any("true vocals" in w for w in table.warnings)


def test_speech_models_are_marked(made: list[Table]) -> None:
    table = titled(made, "DNSMOS and NISQA")
    assert any("speech model, out of domain for music" in w for w in table.warnings)


def test_visqol_stands_beside_an_interference_measure(
    made: list[Table], costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    assert "usdr" in {c.metric for c in titled(made, "ViSQOL").columns}
    alone = tables(pd.DataFrame(make_rows(metrics=("visqol",))), costs, manifest, traits)
    assert any("no interference measure" in w for w in titled(alone, "ViSQOL").warnings)


def test_improvement_is_paired_by_song_and_positive_is_better(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    lost = _lose(frame, "mixture")
    found = tables(lost, costs, manifest, traits, improvement=True)
    table = titled(found, "ViSQOL")
    wide = frame[(frame.metric == "visqol") & (frame.stem == "drums")].pivot(
        index="track", columns="system", values="value"
    )
    gain = table.cell("htdemucs@mini", "visqol", "drums", "gain")
    assert gain is not None and gain.n == 2
    assert gain.value == pytest.approx((wide["htdemucs@mini"] - wide["mixture"]).mean())
    lower = titled(found, "MR-STFT").cell("htdemucs@mini", "mrstft", "vocals", "gain")
    assert lower is not None and lower.value is not None and lower.value > 0
    assert "Δ" in render(found, "md") and r"$\Delta$" in render(found, "tex")


def test_a_gap_that_contradicts_the_paired_median_is_flagged(
    costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    songs = tuple(f"song {i:02d}" for i in range(9))
    rows = pd.DataFrame(make_rows(metrics=("visqol",), tracks=songs))
    chosen = rows.system == "bs_roformer@mini"
    other = rows[rows.system == "htdemucs@mini"]["value"].to_numpy()
    # Behind on eight songs by little, ahead on one by much: the mean leads, the median does not.
    ahead = (rows[chosen].track == songs[0]).to_numpy()
    rows.loc[chosen, "value"] = np.where(ahead, other + 1.0, other - 0.02)
    found = tables(rows, costs, manifest, traits, intervals=True)
    warning = " ".join(titled(found, "ViSQOL").warnings)
    assert "bs_roformer@mini over htdemucs@mini (vocals)" in warning


def test_another_aggregation_needs_no_new_run(
    costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    rows = pd.DataFrame(make_rows(metrics=("bsseval.sdr",)))
    rows["frames"] = [[v - 1.0, v, None, v + 4.0] for v in rows["value"]]
    frame, other = stats.reaggregated(rows, traits, "mean")
    field = tables(rows, costs, manifest, traits)[1]
    means = tables(frame, costs, manifest, other)[1]
    one, two = (t.cell("mixture", "bsseval.sdr", "bass") for t in (field, means))
    part = rows[(rows.system == "mixture") & (rows.stem == "bass")]["value"]
    assert one is not None and one.value == pytest.approx(part.median())
    assert two is not None and two.value == pytest.approx(part.mean() + 1.0)
    assert "median over songs of the median over 1-s frames" in " ".join(field.caption)
    assert "mean over songs of the mean over 1-s frames" in " ".join(means.caption)
    assert stats.reaggregated(rows, traits, None)[0] is rows
    with pytest.raises(UsageError, match="mean or median"):
        stats.reaggregated(rows, traits, "mode")  # type: ignore[arg-type]


def test_editions_never_share_a_table(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    other = frame.assign(edition="hq")
    found = tables(pd.concat([frame, other]), costs, manifest, traits)
    assert {t.edition for t in found} == {"aac-7s", "hq"} and len(found) == 12
    assert len({t.id for t in found}) == 12


def test_a_caption_is_a_line_and_the_notes_say_the_rest_once(made: list[Table]) -> None:
    (line,) = titled(made, "ViSQOL").caption
    assert line == (
        "n = 3 songs; MUSDB18, 7-second excerpts (AAC stems), split test; mean over songs. "
        "How to read: docs/report.md#how-to-read-a-table."
    )
    assert all(len(table.caption) == 1 and len(table.caption[0]) < 260 for table in made)
    for format in FORMATS:
        text = render(made, format)
        for part in ("rounded to 16 bit", "benchsep 0.1.0", "visqol 1"):
            assert format in ("csv", "json") or text.count(part) == 1, (format, part)


def test_the_links_of_captions_lead_to_headings_of_the_docs() -> None:
    docs = Path(__file__).parents[3] / "docs"
    for link in (HOW_TO_READ, DRAWS_AND_TAILS):
        page, _, anchor = link.partition("#")
        headings = [
            line.lstrip("# ").strip().lower().replace(" ", "-")
            for line in (docs.parent / page).read_text("utf-8").splitlines()
            if line.startswith("#")
        ]
        assert anchor in headings


def test_cost_columns_stand_for_systems_that_separate(made: list[Table]) -> None:
    row = next(r for r in made[0].rows if r.system == "tokensep@mini")
    assert [c.value for c in row.cells[-2:]] == [0.5, 812.0]
    yardstick = next(r for r in made[0].rows if r.system == "mixture")
    assert yardstick.cells[-1].value is None


@pytest.mark.parametrize("format", FORMATS)
def test_output_does_not_depend_on_the_order_of_rows(
    format: str, frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    mixed = frame.sample(frac=1, random_state=3)
    once = render(tables(frame, costs, manifest, traits), format)
    again = render(tables(mixed, costs.iloc[::-1], manifest, traits), format)
    assert once == again and once


@pytest.mark.parametrize("format", FORMATS)
def test_a_hostile_label_stays_text(
    format: str, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    label = "=cmd|'<script>alert(1)</script>\x1b[2J"
    systems = {**SYSTEMS, label: "generative"}
    text = render(tables(pd.DataFrame(make_rows(systems)), costs, manifest, traits), format)
    assert "\x1b" not in text
    if format in ("html", "md"):
        assert "<script>" not in text
    if format == "csv":
        names = {row["system"] for row in csv.DictReader(io.StringIO(text))}
        assert not any(name.startswith("=") for name in names)
    if format == "json":
        assert any(c["system"] == label for c in json.loads(text)["tables"][0]["cells"])


def test_an_unknown_format_gets_a_suggestion(made: list[Table]) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        render(made, "mdx")


def test_the_terminal_never_cuts_a_number(
    made: list[Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = render(made, "terminal")
    assert "…" not in text
    lines = text.splitlines()
    for table in made:
        # From the table's title to the first line after its rows.
        first = next(i for i, line in enumerate(lines) if line.startswith(f"{table.id}  "))
        for row in table.rows:
            line = next(x for x in lines[first:] if x.strip().startswith(f"{row.head} "))
            for cell, column in zip(row.cells, table.columns, strict=True):
                if cell.value is not None:
                    assert format_value(cell, column) in line, (table.title, row.head, column.head)


def test_csv_holds_full_precision(made: list[Table]) -> None:
    rows = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    cell = made[1].rows[0].cells[0]
    found = next(r for r in rows if r["id"] == cell.id)
    assert float(found["value"]) == pytest.approx(cell.value, abs=1e-9)


@pytest.fixture
def full(costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits) -> list[Table]:
    """Everything that a table can hold: gaps, intervals, letters, gains, a hostile label."""
    songs = (*TRACKS, "D", "E", "F")
    systems = {**SYSTEMS, "evil_{}\\x $^ 漢 – “q”": "generative"}
    rows = _lose(pd.DataFrame(make_rows(systems, tracks=songs)), "bs_roformer@mini")
    made = tables(rows, costs, manifest, traits, improvement=True, intervals=True)
    return with_spread_tables(made, rows, manifest, traits)


def test_latex_rows_have_the_columns_that_are_declared(full: list[Table]) -> None:
    text = latex_document(full)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == len(full)
    for block in text.split(r"\begin{tabular}")[1:]:
        spec, body = block.split("\n", 1)
        declared = _columns(spec)
        for line in body.split(r"\bottomrule")[0].splitlines():
            if "&" not in line or "itshape" in line:
                continue
            cells = len(re.findall(r"(?<!\\)&", line)) + 1 + line.count(r"\multicolumn{2}")
            assert cells == declared, line
    labels = re.findall(r"\\label\{([^}]*)\}", text)
    assert len(set(labels)) == len(labels) == len(full)


def _columns(spec: str) -> int:
    """Columns of a tabular preamble: without what stands in braces and brackets."""
    plain = re.sub(r"\[[^\]]*\]", "", spec.strip()[1:-1])
    while (shorter := re.sub(r"[@>]?\{[^{}]*\}", "", plain)) != plain:
        plain = shorter
    assert set(plain) <= set("lSp"), plain
    return len(plain)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_and_no_cell_runs_into_the_next(tmp_path: Path, full: list[Table]) -> None:
    (tmp_path / "t.tex").write_text(latex_document(full), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    log = done.stdout.decode(errors="replace")
    if "siunitx.sty' not found" in log:
        pytest.skip("the LaTeX package siunitx is not installed (Debian: texlive-science)")
    assert done.returncode == 0, log[-2000:]
    # A table may be wider than some page; a number over its neighbour is a wrong number.
    assert not re.findall(r"Overfull .hbox .* detected", log)


def test_tables_of_systems_that_share_no_song_say_so(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    first = (frame.system == "htdemucs@mini") & (frame.track != TRACKS[0])
    others = frame.system.isin(["tokensep@mini", "bs_roformer@mini"]) & (frame.track == TRACKS[0])
    part = frame[~first & ~others]
    found = tables(part, costs, manifest, traits, intervals=True, improvement=True)
    table = titled(found, "ViSQOL")
    (warning,) = (w for w in table.warnings if "share no song" in w)
    assert f"htdemucs@mini on 1 song ({TRACKS[0]})" in warning
    assert f"tokensep@mini on 2 songs ({TRACKS[1]}, {TRACKS[2]})" in warning
    assert "drums" in warning and "average" in warning
    cell = table.cell("htdemucs@mini", "visqol", "vocals")
    assert cell is not None and cell.value is None and not cell.best
    text = {format: render(found, format) for format in FORMATS}
    assert "no shared song 1/3" in text["md"] and "no shared song 2/3" in text["terminal"]
    rows = [line for line in text["md"].splitlines() if line.startswith("| ")]
    assert not any("†" in row for row in rows)
    assert not any(
        "share no song" in w
        for w in titled(tables(frame, costs, manifest, traits), "ViSQOL").warnings
    )


def test_another_target_has_a_column_and_no_part_in_the_average(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    extra = frame[(frame.stem == "other") & (frame.system == "htdemucs@mini")]
    both = pd.concat([frame, extra.assign(stem="accompaniment", value=90.0)], ignore_index=True)
    before = titled(tables(frame, costs, manifest, traits), "ViSQOL")
    after = titled(tables(both, costs, manifest, traits), "ViSQOL")
    for system in SYSTEMS:
        cells = [t.cell(system, "visqol", "average") for t in (before, after)]
        assert cells[0] is not None and cells[1] is not None
        assert cells[0].value == cells[1].value


def test_what_systems_say_of_their_rows_is_a_note_once(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    said = {"tokensep@mini": "an estimate", "htdemucs@mini": "an estimate", "mixture": ""}
    manifest["systems"] = {s: {"info": {"remark": text}} for s, text in said.items()}
    text = render(tables(frame, costs, manifest, traits), "md")
    assert text.count("tokensep@mini, htdemucs@mini: an estimate.") == 1
    assert "mixture: ." not in text
