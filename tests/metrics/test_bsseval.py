"""BSSEval v4 against museval 0.4.1, on real audio and on every edge that museval has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchsep.audio import STEMS, Audio
from benchsep.metrics.bsseval import MAX_CONDITION, BSSEval, basis_of
from benchsep.metrics.bsseval.engine import frame_scores, windows
from benchsep.metrics.bsseval.gram import gram, independent_rows, lagged_correlations
from benchsep.metrics.metric import References
from tests.helpers.degraded import degraded

RATE = 44_100
SDR_TOLERANCE, FILTER_TOLERANCE = 1e-6, 1e-3
"""dB on each frame; measured on this clip: 4e-14 and 2e-7."""

VALUES = ("sdr", "isr", "sir", "sar")


@pytest.fixture(scope="module")
def museval():
    return pytest.importorskip("museval.metrics", exc_type=Exception, reason="museval, ffmpeg")


@pytest.fixture(scope="module")
def pair(clip):
    """Vocals and drums, mono, 2.3 s: a system small enough for many calls of museval."""
    return {s: cut(clip.stems[s].mono(), 1.0, 2.3) for s in ("vocals", "drums")}


def cut(audio: Audio, start: float, seconds: float) -> Audio:
    first = round(start * audio.rate)
    return Audio(audio.samples[:, first : first + round(seconds * audio.rate)], audio.rate)


def spoilt(stems: dict[str, Audio]) -> dict[str, Audio]:
    return degraded(stems, bleed=0.2, noise=1e-3, seed=3)


def upstream(museval, stems: dict[str, Audio], estimates: dict[str, Audio]) -> dict:
    """museval's own ``[4, windows]`` per stem."""
    rate = next(iter(stems.values())).rate
    truth = np.stack([a.samples.T for a in stems.values()]).astype(np.float64)
    heard = np.stack([estimates[s].samples.T for s in stems]).astype(np.float64)
    found = np.stack(museval.bss_eval(truth, heard, window=rate, hop=rate)[:4])
    return {s: found[:, i] for i, s in enumerate(stems)}


def ours(stems: dict[str, Audio], estimates: dict[str, Audio]) -> dict:
    basis = basis_of(References(stems))
    return frame_scores(basis, {s: a.samples for s, a in estimates.items()})


def assert_same(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for stem, rows in expected.items():
        np.testing.assert_allclose(found[stem][0], rows[0], rtol=0, atol=SDR_TOLERANCE)
        np.testing.assert_allclose(found[stem][1:], rows[1:], rtol=0, atol=FILTER_TOLERANCE)


# --- equal to museval ---------------------------------------------------------------------------


@pytest.mark.parity
def test_four_stereo_stems_score_as_in_museval_on_every_frame(clip, museval):
    stems = {s: cut(a, 1.0, 2.1) for s, a in clip.stems.items()}
    estimates = spoilt(stems)
    assert_same(ours(stems, estimates), upstream(museval, stems, estimates))


@pytest.mark.parity
@pytest.mark.parametrize("seconds", [0.3, 0.999, 1.0, 1.001, 2.0, 2.3])
def test_any_length_is_framed_as_in_museval(pair, museval, seconds):
    stems = {s: cut(a, 0, seconds) for s, a in pair.items()}
    estimates = spoilt(stems)
    assert_same(ours(stems, estimates), upstream(museval, stems, estimates))


@pytest.mark.parity
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_a_window_is_a_second_at_any_rate(pair, museval, rate):
    stems = {s: a.resampled(rate) for s, a in pair.items()}
    estimates = spoilt(stems)
    assert_same(ours(stems, estimates), upstream(museval, stems, estimates))


@pytest.mark.parity
@pytest.mark.parametrize("which", ["reference", "estimate"])
def test_a_silent_second_of_one_stem_has_no_value_for_any_stem(pair, museval, which):
    estimates = spoilt(pair)
    hushed = pair if which == "reference" else estimates
    samples = hushed["drums"].samples.copy()
    samples[:, RATE : 2 * RATE] = 0
    hushed = {**hushed, "drums": Audio(samples, RATE)}
    stems, estimates = (hushed, estimates) if which == "reference" else (pair, hushed)
    expected = upstream(museval, stems, estimates)
    assert all(np.isnan(rows[:, 1]).all() for rows in expected.values())
    assert_same(ours(stems, estimates), expected)
    score = BSSEval().score_track(References(stems), estimates, ("vocals",))["vocals"]["sdr"]
    assert score.frames[1] is None
    assert score.value == pytest.approx(expected["vocals"][0, 0], abs=SDR_TOLERANCE)


@pytest.mark.parity
@pytest.mark.parametrize("shape", ["mono as stereo", "one channel silent", "stems copied"])
def test_channels_that_span_nothing_new_score_as_in_museval(pair, museval, shape):
    if shape == "mono as stereo":
        stems = {s: a.to_channels(2) for s, a in pair.items()}
    elif shape == "one channel silent":
        stems = {s: Audio(np.vstack([a.samples, 0 * a.samples]), RATE) for s, a in pair.items()}
    else:
        stems = {"vocals": pair["vocals"], "drums": pair["drums"], "bass": pair["drums"]}
    estimates = spoilt(stems)
    found, expected = ours(stems, estimates), upstream(museval, stems, estimates)
    for stem, rows in expected.items():
        np.testing.assert_allclose(found[stem][:2], rows[:2], rtol=0, atol=1e-3)
        np.testing.assert_allclose(found[stem][2:], rows[2:], rtol=0, atol=1e-2)


@pytest.mark.parity
def test_a_perfect_estimate_is_infinite_in_museval_and_not_finite_here(pair, museval):
    assert np.isinf(upstream(museval, pair, pair)["vocals"][0]).all()
    scores = BSSEval().score_track(References(pair), pair, ("vocals",))["vocals"]
    assert {s.status for s in scores.values()} == {"not_finite"}
    assert scores["sdr"].frames == (None, None)


@pytest.mark.parity
def test_what_museval_refuses_has_a_status_here(pair, museval):
    silent = {**pair, "drums": Audio(0 * pair["drums"].samples, RATE)}
    for stems, estimates, status in ((silent, pair, "ref_silent"), (pair, silent, "est_silent")):
        with pytest.raises(ValueError, match="non-silent"):
            upstream(museval, stems, estimates)
        table = BSSEval().score_track(References(stems), spoilt(pair) | silent, ("drums",))
        if status == "est_silent":
            table = BSSEval().score_track(References(pair), silent, ("drums",))
        assert {s.status for s in table["drums"].values()} == {status}


@pytest.mark.parity
def test_sums_to_zero_is_silent_as_in_museval(pair, museval):
    vocals = pair["vocals"].samples
    stems = {**pair, "vocals": Audio(np.vstack([vocals, -vocals]), RATE)}
    stems["drums"] = pair["drums"].to_channels(2)
    with pytest.raises(ValueError, match="non-silent"):
        upstream(museval, stems, stems)
    table = BSSEval().score_track(References(stems), spoilt(stems), ("vocals",))
    assert table["vocals"]["sdr"].status == "ref_silent"


# --- laws ---------------------------------------------------------------------------------------


def test_a_stem_scores_the_same_alone_and_in_company(pair):
    estimates = spoilt(pair)
    both = BSSEval().score_track(References(pair), estimates, ("vocals", "drums"))
    alone = {"vocals": estimates["vocals"]}
    single = BSSEval().score_track(References(pair), alone, ("vocals",))
    for value in VALUES:
        one, other = single["vocals"][value].value, both["vocals"][value].value
        assert one == pytest.approx(other, abs=1e-9)


def test_a_silent_estimate_leaves_the_other_stems_alone(pair):
    """In museval it raises, and moved other stems' SDR in bsseval before (sigsep/bsseval#4)."""
    estimates = spoilt(pair)
    hushed = {**estimates, "drums": Audio(0 * pair["drums"].samples, RATE)}
    whole = BSSEval().score_track(References(pair), estimates, ("vocals",))["vocals"]
    rest = BSSEval().score_track(References(pair), hushed, ("vocals",))["vocals"]
    assert all(rest[v].value == pytest.approx(whole[v].value, abs=1e-9) for v in VALUES)


def test_the_order_of_stems_moves_nothing(pair):
    estimates = spoilt(pair)
    back = dict(reversed(pair.items()))
    one, other = ours(pair, estimates), ours(back, dict(reversed(estimates.items())))
    for stem in pair:
        np.testing.assert_allclose(one[stem], other[stem], rtol=0, atol=1e-6)


def test_threads_get_the_values_of_one_call(pair):
    estimates = spoilt(pair)
    references = References(pair)
    expected = BSSEval().score_track(References(pair), estimates, ("vocals", "drums"))

    def call(_):
        return BSSEval().score_track(references, estimates, ("vocals", "drums"))

    with ThreadPoolExecutor(3) as pool:
        assert all(found == expected for found in pool.map(call, range(4)))


def test_gain_moves_sdr_and_spares_sir_and_sar(pair):
    estimates = spoilt(pair)
    louder = {s: Audio(2 * a.samples, RATE) for s, a in estimates.items()}
    one, two = ours(pair, estimates), ours(pair, louder)
    assert (one["vocals"][0] - two["vocals"][0] > 3).all()
    np.testing.assert_allclose(one["vocals"][2:], two["vocals"][2:], atol=1e-9)


def test_correlations_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 1000))
    found = lagged_correlations(list(x), list(y), 20, fft=128)
    expected = np.array([[np.correlate(b, a, "full")[980:1019] for b in y] for a in x])
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("length", "signals", "frames", "at"),
    [
        (16384, 8, 15362, 511),
        (46080, 3, 44100, 0),
        (1440, 17, 1440, 0),
        (90, 9, 50, 3),
        *((n, 2, n // 2, n - n // 2) for n in (14, 6, 4, 2)),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_transforms_in_lanes_are_those_of_numpy(length, signals, frames, at, kind):
    from benchsep.metrics.bsseval.products import joined
    from benchsep.metrics.bsseval.transform import Transform

    given = np.random.default_rng(length).standard_normal((frames + 7, signals)).astype(kind)
    transform, among_zeros = Transform(length), np.zeros((length, signals))
    out = transform.room(signals)
    for first in (0, 5):  # the second time in the same memory, and one later than the others
        parts, places = list(given[first : first + frames].T), [at] * signals
        places[-1] = min(at + first, length - frames)
        transform.write(parts, places, out, edge=0.5)
        among_zeros[:] = 0
        for n, (part, place) in enumerate(zip(parts, places, strict=True)):
            among_zeros[place : place + frames, n] = part
        expected = np.fft.rfft(among_zeros, axis=0).T
        expected[:, [0, -1]] *= 0.5
        found = joined(out, length // 2 + 1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15 * length)


def test_windows_are_those_of_the_standard():
    assert windows(10, 44_100) == [slice(0, 10)]
    assert windows(25, 10) == [slice(0, 10), slice(10, 20)]
    assert windows(20, 10) == [slice(0, 10), slice(10, 20)]


# --- conditioning -------------------------------------------------------------------------------


def test_the_condition_is_that_of_the_matrix():
    rng = np.random.default_rng(1)
    signals = list(rng.standard_normal((2, 500)).cumsum(1))
    corr = lagged_correlations(signals, signals, 8)
    matrix = np.empty((16, 16))
    for (i, j), _ in np.ndenumerate(matrix):
        matrix[i, j] = corr[i // 8, j // 8, i % 8 - j % 8 + 7]
    unit = 1 / np.sqrt(np.diag(matrix))
    expected = np.linalg.cond(matrix * unit * unit[:, None], 1)
    assert gram(corr, (0, 1), 8).condition == pytest.approx(expected, rel=0.5)


def test_copies_are_left_out():
    a, b = np.ones(4), np.arange(4.0)
    assert independent_rows([a, b, a.copy(), np.zeros(4)], range(4)) == (0, 1)


def test_16_bit_references_are_well_conditioned_and_float_decoded_aac_is_not(clip):
    """The same file, decoded to float: what museval gets by default on MUSDB18's stem.mp4."""
    import av

    from benchsep.datasets.clip import clip_path

    with av.open(str(clip_path())) as container:
        streams = {"drums": container.streams.audio[1], "vocals": container.streams.audio[4]}
        parts = {s.index: [] for s in streams.values()}
        for packet in container.demux(*streams.values()):
            parts[packet.stream.index] += [f.to_ndarray() for f in packet.decode()]
        decoded = {n: Audio(np.concatenate(parts[s.index], 1), RATE) for n, s in streams.items()}
    rounded = {n: clip.stems[n] for n in decoded}
    estimates = spoilt(rounded)

    coarse = BSSEval().score_track(References(rounded), estimates, ("vocals",))["vocals"]
    assert {s.status for s in coarse.values()} == {"ok"}
    fine = BSSEval().score_track(References(decoded), estimates, ("vocals",))["vocals"]
    assert fine["sdr"].status == "ok"
    assert fine["sdr"].value == pytest.approx(coarse["sdr"].value, abs=1e-3)
    for value in ("isr", "sir", "sar"):
        assert fine[value].status == "ill_conditioned"
        assert np.isfinite(fine[value].value)


def test_a_singular_matrix_still_has_a_solution():
    """LU where Cholesky fails, least squares where LU meets a zero pivot."""
    row = np.sin(np.arange(400) * 0.1)
    corr = lagged_correlations([row, 2 * row], [row, 2 * row], 8)
    found = gram(corr, (0, 1), 8)
    assert found.condition > MAX_CONDITION
    assert np.isfinite(found.solve(np.ones((16, 1)))).all()


# --- what it says of known faults (shared/docs/anchors.md, fact 4) -----------------------------


def test_pink_noise_scores_as_measured_with_museval():
    """museval 0.4.1 on pink noise with -20 dB bleed, base SDR 19.9."""
    from scipy.signal import istft, stft

    # Pink noise has its power in few slow cycles: other seeds move these by up to 0.7 dB.
    rng = np.random.default_rng(16)
    frames = 10 * RATE

    def pink():
        bins = np.arange(1, frames // 2 + 2)
        spectrum = rng.standard_normal((2, bins.size)).T @ np.array([1, 1j]) / np.sqrt(bins)
        signal = np.fft.irfft(spectrum, frames)
        return (0.1 * signal / signal.std()).astype(np.float32)[None]

    stems = {"vocals": Audio(pink(), RATE), "drums": Audio(pink(), RATE)}
    base = stems["vocals"].samples + 0.1 * stems["drums"].samples
    spectrum = stft(base, nperseg=2048)[2]
    turned = spectrum * np.exp(2j * np.pi * rng.random(spectrum.shape))
    random = istft(turned, nperseg=2048)[1][:, :frames].astype(np.float32)

    def late(count):
        return np.pad(base, ((0, 0), (count, 0)))[:, :frames]

    references = References(stems)
    for estimate, expected in (
        (base, 19.9),
        (late(1), 5.5),
        (late(5), 2.6),
        (late(50), 0.3),
        (base * 10 ** (-3 / 20), 10.5),
        (-base, -6.0),
        (np.pad(random, ((0, 0), (0, frames - random.shape[1]))), -1.7),
    ):
        table = BSSEval().score_track(references, {"vocals": Audio(estimate, RATE)}, ("vocals",))
        assert table["vocals"]["sdr"].value == pytest.approx(expected, abs=0.2)


def test_the_metric_declares_what_tables_need():
    assert [v.name for v in BSSEval.values] == list(VALUES)
    assert {v.aggregate for v in BSSEval.values} == {"median"}
    assert all(v.waveform_matching for v in BSSEval.values)
    assert BSSEval.default_stems == STEMS
