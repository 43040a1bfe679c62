"""One harness for every registered metric: what each promises, checked the same way.

``test_contract.py`` runs all of it over the registry, so a new metric gets these checks for its
name alone. A metric under development can be checked before it is registered::

    from tests.helpers.harness import CHECKS, Bench
    bench = Bench.of(clip)
    for check in CHECKS.values():
        check(MyMetric(), bench)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchsep.audio import STEMS, Audio
from benchsep.datasets.track import TrackAudio
from benchsep.metrics.metric import Metric, References, Score, column
from tests.helpers.degraded import degraded

SECONDS = 1.3
"""Enough for one window of every metric and cheap for the heavy ones."""

STATUSES = re.compile(
    r"ok|ref_silent|est_silent|too_short|ill_conditioned|not_finite"
    r"|(undefined|unavailable|failed): \S.*"
)

Table = dict[str, dict[str, Score]]


@dataclass(frozen=True)
class Bench:
    """A loud piece of real music: references and estimates as a decent separator gives them."""

    references: References
    estimates: dict[str, Audio]
    noisy: dict[str, Audio]
    """The same with a lot of bleed and noise: worse by any measure of likeness."""

    @classmethod
    def of(cls, clip: TrackAudio, seconds: float = SECONDS) -> Bench:
        rate = clip.mixture.rate
        start, frames = rate, round(seconds * rate)
        cut = {s: Audio(a.samples[:, start : start + frames], rate) for s, a in clip.stems.items()}
        mixture = Audio(sum(a.samples for a in cut.values()), rate)
        return cls(References(cut, mixture), degraded(cut, 0.1, 1e-3), degraded(cut, 0.7, 3e-2))

    def fresh(self) -> References:
        """The references with an empty cache, where a check is about the cache."""
        return replace(self.references, cache={})

    def mapped(self, change) -> Bench:
        """``change`` applied to all audio: another rate, other channels, a cut."""
        stems = {s: change(a) for s, a in self.references.stems.items()}
        mixture = change(self.references.mixture)
        estimates, noisy = (
            {s: change(a) for s, a in e.items()} for e in (self.estimates, self.noisy)
        )
        return Bench(References(stems, mixture), estimates, noisy)


def unchecked(samples: np.ndarray, rate: int) -> Audio:
    """Audio that :class:`Audio` refuses: what a broken system may still hand to a metric."""
    audio = object.__new__(Audio)
    object.__setattr__(audio, "samples", np.ascontiguousarray(samples, dtype=np.float32))
    object.__setattr__(audio, "rate", rate)
    return audio


def score(
    metric: Metric,
    references: References,
    estimates: dict[str, Audio],
    stems: tuple[str, ...] | None = None,
) -> Table:
    """Score, and check what holds for any input: all stems and values, finite or a status."""
    stems = metric.default_stems if stems is None else stems
    table = metric.score_track(references, estimates, stems)
    assert set(table) == set(stems)
    names = {value.name for value in metric.values}
    for stem, row in table.items():
        assert set(row) == names, stem
        for name, cell in row.items():
            where = f"{metric.name}.{name} of {stem}: {cell}"
            assert STATUSES.fullmatch(cell.status), where
            assert cell.value is not None or cell.status != "ok", where
            assert cell.value is None or _is_number(cell.value), where
            assert all(f is None or _is_number(f) for f in cell.frames or ()), where
    return table


def _is_number(value: object) -> bool:
    return type(value) is float and math.isfinite(value)


def cells(table: Table) -> list[Score]:
    return [cell for row in table.values() for cell in row.values()]


def reads_references(metric: Metric, bench: Bench) -> bool:
    """Whether it gives no value where there is no reference."""
    table = metric.score_track(References({}), bench.estimates, metric.default_stems)
    return all(cell.value is None for cell in cells(table))


def runs_here(metric: Metric) -> None:
    if reason := metric.available():
        pytest.skip(f"{metric.name}: {reason}")


# --- the checks ---------------------------------------------------------------------------------


def traits_are_declared(metric: Metric, bench: Bench) -> None:
    assert metric.version and metric.licence and metric.source
    assert metric.values and len({v.name for v in metric.values}) == len(metric.values)
    assert set(metric.default_stems) <= set(STEMS) and metric.default_stems
    assert metric.channels in {"mono", "stereo", "any"}
    assert metric.domain in {"music", "speech", "any"}
    for value in metric.values:
        assert value.direction in {-1, 0, 1}
        assert value.low is None or value.high is None or value.low < value.high
        assert column(metric, value)
        if value.unit == "dB":
            assert isinstance(value.waveform_matching, bool)


def settings_are_strict_json(metric: Metric, bench: Bench) -> None:
    import json

    runs_here(metric)
    json.dumps(metric.settings(), allow_nan=False)


def an_unavailable_metric_says_so_in_each_cell(metric: Metric, bench: Bench) -> None:
    if not metric.available():
        return
    table = score(metric, bench.references, bench.estimates)
    assert all(c.status.startswith("unavailable: ") for c in cells(table))


def real_estimates_have_values_within_their_range(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    table = score(metric, bench.references, bench.estimates)
    for row in table.values():
        for trait in metric.values:
            value = row[trait.name].value
            if value is None:
                # A reason in words is an answer too: "the reference is never silent".
                assert ": " in row[trait.name].status, f"{trait.name}: {row[trait.name]}"
                continue
            assert trait.low is None or value >= trait.low - 1e-6
            assert trait.high is None or value <= trait.high + 1e-6


def the_true_stem_is_not_beaten(metric: Metric, bench: Bench) -> None:
    """Identity is at least as good as a spoilt estimate; a perfect score may be ``not_finite``."""
    runs_here(metric)
    if not reads_references(metric, bench):
        return
    perfect = score(metric, bench.references, dict(bench.references.stems))
    spoilt = score(metric, bench.references, bench.noisy)
    for stem, row in spoilt.items():
        for trait in metric.values:
            best, worse = perfect[stem][trait.name], row[trait.name]
            if best.value is None:
                kind = best.status.partition(":")[0]
                assert kind in ("not_finite", "undefined", "unavailable"), f"{trait.name}: {best}"
            elif trait.direction and worse.value is not None:
                assert trait.direction * (best.value - worse.value) >= -1e-9, (trait.name, stem)


def the_same_call_gives_the_same_values(metric: Metric, bench: Bench) -> None:
    """Twice, through the cache, and with the stems in another order."""
    runs_here(metric)
    first = score(metric, bench.references, bench.estimates)
    assert score(metric, bench.references, bench.estimates) == first
    shuffled = dict(reversed(bench.estimates.items()))
    assert score(metric, bench.fresh(), shuffled, metric.default_stems[::-1]) == first


def inputs_stay_as_they_were(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    audio = [*bench.references.stems.values(), *bench.estimates.values()]
    before = [a.sha256() for a in audio]
    score(metric, bench.references, bench.estimates)
    assert [a.sha256() for a in audio] == before


def a_stem_may_be_missing(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    stem = metric.default_stems[0]
    rest = {s: a for s, a in bench.estimates.items() if s != stem}
    row = score(metric, bench.references, rest)[stem]
    assert all(c.value is None and ": " in c.status for c in row.values())
    alone = score(metric, bench.references, {stem: bench.estimates[stem]}, (stem,))[stem]
    assert all(c.status for c in alone.values())


def a_silent_reference_is_a_status_or_a_defined_value(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    stem = metric.default_stems[0]
    audio = bench.references.stems[stem]
    stems = {**bench.references.stems, stem: Audio(np.zeros_like(audio.samples), audio.rate)}
    table = score(metric, References(stems, bench.references.mixture), bench.estimates)
    if reads_references(metric, bench):
        assert all(c.value is not None or c.status != "ok" for c in table[stem].values())
    both = {s: Audio(np.zeros_like(a.samples), a.rate) for s, a in stems.items()}
    score(metric, References(both, bench.references.mixture), both)


def a_silent_estimate_is_a_status_or_a_defined_value(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    stem = metric.default_stems[0]
    audio = bench.estimates[stem]
    estimates = {**bench.estimates, stem: Audio(np.zeros_like(audio.samples), audio.rate)}
    score(metric, bench.references, estimates)


def broken_samples_are_a_status(metric: Metric, bench: Bench) -> None:
    """A NaN or an infinite sample: a row that says so, and the other stems as before."""
    runs_here(metric)
    stem = metric.default_stems[0]
    for bad in (np.nan, -np.inf):
        samples = bench.estimates[stem].samples.copy()
        samples[0, 1000] = bad
        estimates = {**bench.estimates, stem: unchecked(samples, bench.estimates[stem].rate)}
        row = score(metric, bench.references, estimates)[stem]
        assert all(c.value is None and c.status.startswith("failed: ") for c in row.values())


def one_sample_is_a_status_or_a_defined_value(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    loud = int(np.argmax(np.abs(bench.references.mixture.samples).sum(0)))
    for frames in (1, 600):
        start = min(loud, bench.references.mixture.frames - frames)
        cut = slice(start, start + frames)
        short = bench.mapped(lambda a, cut=cut: Audio(a.samples[:, cut], a.rate))
        score(metric, short.references, short.estimates)


def mono_has_values(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    mono = bench.mapped(lambda a: a.mono())
    assert any(c.value is not None for c in cells(score(metric, mono.references, mono.estimates)))


def mono_as_stereo_has_values(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    twice = bench.mapped(lambda a: a.mono().to_channels(2))
    assert any(c.value is not None for c in cells(score(metric, twice.references, twice.estimates)))


def other_rates_have_values(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    for rate in (48_000, 16_000):
        other = bench.mapped(lambda a, rate=rate: a.resampled(rate))
        table = score(metric, other.references, other.estimates)
        assert any(c.value is not None for c in cells(table)), rate


def another_length_or_rate_is_a_status(metric: Metric, bench: Bench) -> None:
    runs_here(metric)
    stem = metric.default_stems[0]
    audio = bench.estimates[stem]
    for changed in (Audio(audio.samples[:, :-100], audio.rate), Audio(audio.samples, 48_000)):
        row = score(metric, bench.references, {**bench.estimates, stem: changed})[stem]
        if reads_references(metric, bench):
            assert all(c.value is None and c.status.startswith("failed: ") for c in row.values())


CHECKS = {
    check.__name__: check
    for check in (
        traits_are_declared,
        settings_are_strict_json,
        an_unavailable_metric_says_so_in_each_cell,
        real_estimates_have_values_within_their_range,
        the_true_stem_is_not_beaten,
        the_same_call_gives_the_same_values,
        inputs_stay_as_they_were,
        a_stem_may_be_missing,
        a_silent_reference_is_a_status_or_a_defined_value,
        a_silent_estimate_is_a_status_or_a_defined_value,
        broken_samples_are_a_status,
        one_sample_is_a_status_or_a_defined_value,
        mono_has_values,
        mono_as_stereo_has_values,
        other_rates_have_values,
        another_length_or_rate_is_a_status,
    )
}
