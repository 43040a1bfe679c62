"""The parts of the ViSQOL engine against plain restatements of them, and its promises."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.errors import MetricError
from benchsep.metrics.metric import References
from benchsep.metrics.visqol import (
    Visqol,
    alignment,
    correlation,
    engine,
    gammatone,
    nsim,
    patches,
    svr,
)
from benchsep.metrics.visqol import profile as profile_search
from benchsep.metrics.visqol.engine import Reference

RATE = 48_000


def noise(samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@pytest.fixture(scope="module")
def vocals(clip) -> np.ndarray:
    return clip.stems["vocals"].mono().resampled(RATE).samples[0]


@pytest.fixture(scope="module")
def mixture(clip) -> np.ndarray:
    return clip.mixture.mono().resampled(RATE).samples[0]


# --- gammatone ----------------------------------------------------------------------------------


def test_levels_are_those_of_a_cascade_of_plain_filters(vocals):
    from scipy.signal import lfilter

    coefficients, gain = gammatone.filter_coefficients()
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(3840) / 3839)
    starts = np.array([0, 12_345, 100_000])
    levels = gammatone.levels_at(vocals, starts, 0.7)
    for column, start in enumerate(starts):
        frame = vocals[start : start + 3840].astype(np.float64) * 0.7 * hann
        for band in range(gammatone.BANDS):
            out = frame * gain[band]
            for stage in range(4):
                denominator = [1, -coefficients[4, band], -coefficients[5, band]]
                out = lfilter([1, coefficients[stage, band]], denominator, out)
            assert levels[band, column] == pytest.approx(np.sqrt((out**2).mean()), rel=1e-9)


def test_each_filter_passes_its_centre_at_full_level():
    coefficients, gain = gammatone.filter_coefficients()
    centres = gammatone.centre_frequencies()
    assert (np.diff(centres) > 0).all() and centres[0] == pytest.approx(50)
    z = np.exp(-2j * np.pi * centres / RATE)
    response = gain * np.prod(1 + coefficients[:4] * z, 0)
    response /= (1 - coefficients[4] * z - coefficients[5] * z**2) ** 4
    np.testing.assert_allclose(np.abs(response), 1, rtol=1e-9)


def test_a_window_outside_of_the_signal_is_refused():
    with pytest.raises(IndexError, match="outside"):
        gammatone.levels_at(noise(4000), np.array([161]))


def test_a_silent_window_has_no_level():
    assert not gammatone.spectrogram(np.zeros(10_000, np.float32)).any()


# --- alignment ----------------------------------------------------------------------------------


def google_envelope(signal: np.ndarray) -> np.ndarray:
    """Step by step what ``envelope.cc`` does, transform and all."""
    mean = signal.mean()
    padded = max(32, 1 << (len(signal) - 1).bit_length())
    spectrum = np.fft.rfft(signal - mean, padded)
    scaling = np.full(len(spectrum), 2.0)
    scaling[0] = 1
    scaling[-1] = 1.0 if len(signal) == padded else 0.0
    return np.abs(np.fft.irfft(spectrum * scaling, padded)[: len(signal)]) + mean


@pytest.mark.parametrize("samples", [1000, 1024, 1025, 4097, 28_800])
def test_the_envelope_is_google_s_without_its_transforms(samples):
    signal = noise(samples) + np.float32(0.03)
    expected = google_envelope(signal.astype(np.float64))
    np.testing.assert_allclose(alignment.envelope(signal), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_the_fast_lag_is_the_plain_one(seed):
    rng = np.random.default_rng(seed)
    reference = noise(int(rng.integers(2_000, 9_000)), seed)
    lag = int(rng.integers(-900, 900))
    estimate = alignment.moved(reference, -lag)[: int(rng.integers(1_500, 9_000))]
    estimate = estimate + noise(len(estimate), seed + 100, 0.1 * seed)
    assert alignment.best_lag(reference, estimate) == alignment.best_lag_plain(reference, estimate)


def test_the_fast_lag_is_the_plain_one_on_music(vocals, mixture):
    for start in range(0, len(vocals) - 60_000, 50_000):
        pair = vocals[start : start + 28_800], mixture[start + 137 : start + 28_900]
        assert alignment.best_lag(*pair) == alignment.best_lag_plain(*pair)


def test_a_flat_peak_is_decided_in_double_precision():
    # A slow sine: many lags are within the error of single precision.
    signal = np.sin(np.arange(30_000) * 2e-4).astype(np.float32)
    other = signal[7:].copy()
    assert alignment.best_lag(signal, other) == alignment.best_lag_plain(signal, other)


@pytest.mark.parametrize("pair", [(1, 1), (16, 17), (33, 700), (512, 2), (513, 31)])
def test_the_fast_lag_of_very_short_signals(pair):
    first, second = noise(pair[0], 3), noise(pair[1], 4)
    assert alignment.best_lag(first, second) == alignment.best_lag_plain(first, second)


@pytest.mark.parametrize("level", [1e-30, 1e-8, 1e-5, 1e4])
def test_the_fast_lag_does_not_depend_on_levels(level):
    reference = noise(40_000, 6)
    estimate = reference[300:] + 3 * noise(39_700, 7)
    expected = alignment.best_lag_plain(reference, estimate)
    for pair in (
        (reference, estimate * np.float32(level)),
        (reference * np.float32(level), estimate),
    ):
        assert alignment.best_lag(*pair) == expected == 300


@pytest.mark.parametrize("length", [5_000, 12_000])
def test_of_equal_maxima_the_lowest_lag_is_the_best(length):
    period = np.sign(noise(1_000, 5))
    signal = np.tile(period, 12)
    # Whole periods of the shorter one meet the longer one at several lags.
    assert alignment.best_lag(signal, signal[:length]) == 0
    assert alignment.best_lag(signal[:length], signal) == length - 12_000


@pytest.mark.parametrize("points", [512, 1536, 2560, 3584, 1 << 14, 3 << 13, 5 << 12, 7 << 12])
def test_transforms_in_lanes_are_one_correlation(points):
    assert correlation.fast_points(points) == points
    first, second = noise(points, 1), noise(points, 2)
    first[-points // 5 :] = 0
    spectrum = np.fft.rfft(first.astype(float)) * np.conj(np.fft.rfft(second.astype(float)))
    expected = np.fft.irfft(spectrum, points)
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    for reach in (0, 1, 17, points // 2 - 1):
        both = correlation.sheet(points)
        both[:, 0], both[:, 1] = first.reshape(-1, 16), second.reshape(-1, 16)
        found = correlation.correlate(both, reach)
        np.testing.assert_allclose(
            found, expected[np.arange(-reach, reach + 1)], atol=1e-7 * norms, rtol=0
        )


def test_a_correlation_takes_lengths_of_its_own():
    taken = [correlation.fast_points(n) for n in (1, 513, 9_000, 14_600_000)]
    assert taken == [1 << 9, 1 << 10, 5 << 11, 7 << 21]
    with pytest.raises(ValueError, match="expected one of fast_points"):
        correlation.correlate(correlation.sheet(11 << 10), 5)


def test_silence_has_no_usable_lag(vocals):
    silent = np.zeros(28_800, np.float32)
    assert alignment.usable_lag(silent, silent) == 0
    assert alignment.usable_lag(vocals[:28_800], silent) == 0


# --- NSIM and the search ------------------------------------------------------------------------


def plain_nsim(r: np.ndarray, d: np.ndarray) -> np.ndarray:
    from scipy.ndimage import correlate

    def smooth(x):
        return correlate(x, nsim.WEIGHTS, mode="nearest")

    mu_r, mu_d = smooth(r), smooth(d)
    variances = (smooth(r * r) - mu_r**2) * (smooth(d * d) - mu_d**2)
    structure = (smooth(r * d) - mu_r * mu_d + nsim.C3) / (
        np.sqrt(np.maximum(variances, 0)) + nsim.C3
    )
    return ((2 * mu_r * mu_d + nsim.C1) / (mu_r**2 + mu_d**2 + nsim.C1) * structure).mean(1)


def levels(frames: int, seed: int) -> np.ndarray:
    return 45 * np.random.default_rng(seed).random((gammatone.BANDS, frames)) ** 2


def test_nsim_is_its_formula():
    r, d = levels(30, 1), levels(30, 2)
    np.testing.assert_allclose(
        nsim.band_similarity(r, d, nsim.WEIGHTS), plain_nsim(r, d), atol=1e-12
    )
    np.testing.assert_allclose(nsim.band_similarity(r, r, nsim.WEIGHTS), 1, atol=1e-9)


def test_a_profile_holds_the_nsim_of_every_offset():
    r, d = levels(30, 3), levels(200, 4)
    padded = np.zeros((gammatone.BANDS, 1 + 200 + 30 + profile_search.MARGIN))
    padded[:, 1:201] = d
    profile = np.empty(190)
    taps = nsim.reference_taps(r, nsim.WEIGHTS)
    profile_search.similarity_profile(
        taps, padded, nsim.local_moments(padded, nsim.WEIGHTS), 11, profile
    )
    for offset in (10, 11, 137, 138, 170, 171, 199):
        expected = plain_nsim(r, padded[:, 1 + offset : 31 + offset]).mean()
        assert profile[offset - 10] == pytest.approx(expected, abs=1e-10)


def plain_match(profiles: np.ndarray, starts: np.ndarray, frames: int, search: int):
    """``FindMostOptimalDegPatch`` as it is written there."""
    totals = np.zeros((len(starts), frames))
    origins = np.zeros((len(starts), frames), dtype=int)
    for i, start in enumerate(starts):
        for offset in range(max(0, start - search), min(frames, start + search + 1)):
            total, origin = profiles[i, offset], -1
            if i:
                best = -np.inf
                for back in range(offset - 1, max(0, starts[i - 1] - search) - 1, -1):
                    if totals[i - 1, back] > best:
                        best, origin = totals[i - 1, back], back
                total += best
                if totals[i - 1, offset] > total:
                    total, origin = totals[i - 1, offset], offset
            totals[i, offset], origins[i, offset] = total, origin
    low = max(0, starts[-1] - search)
    offset = low + int(np.argmax(totals[-1, low : starts[-1] + search + 1]))
    offsets, lost = [], []
    for i in range(len(starts) - 1, -1, -1):
        offsets.append(offset)
        lost.append(origins[i, offset] == offset)
        offset = origins[i, offset]
    return offsets[::-1], lost[::-1]


@pytest.mark.parametrize("seed", range(3))
def test_the_search_chooses_what_the_plain_programme_chooses(seed):
    search = 40
    reference = levels(200, seed)
    degraded = (
        np.roll(reference, 5, 1)[:, : 190 - 30 * seed] + levels(190 - 30 * seed, seed + 9) * 0.2
    )
    if seed == 1:  # silence: ties, and patches that are lost
        degraded[:, 60:130] = 0
        reference[:, 90:130] = 0
    starts = patches.patch_starts(reference.shape[1])
    frames = degraded.shape[1]
    padded = np.concatenate([degraded, np.zeros((len(degraded), nsim.WIDTH))], 1)
    starts = starts[starts - nsim.WIDTH // 2 <= frames]
    profiles = np.zeros((len(starts), frames))
    moments = nsim.local_moments(
        big := np.pad(padded, ((0, 0), (1, profile_search.MARGIN))), nsim.WEIGHTS
    )
    for i, start in enumerate(starts):
        taps = nsim.reference_taps(reference[:, start : start + nsim.WIDTH], nsim.WEIGHTS)
        profile_search.similarity_profile(taps, big, moments, 1, profiles[i])
    all_starts = patches.patch_starts(reference.shape[1])
    offsets, lost = patches.match(reference, degraded, all_starts, search)
    expected = plain_match(profiles, starts, frames, search)
    assert list(offsets) == expected[0] and list(lost) == expected[1]


def test_patches_begin_where_google_begins_them():
    assert list(patches.patch_starts(44)) == []
    assert list(patches.patch_starts(45)) == [14]
    assert list(patches.patch_starts(46)) == [14]
    assert list(patches.patch_starts(106)) == [14, 44, 74]


# --- slices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [-3001, -1, 0, 1, 29, 1000, 7001])
@pytest.mark.parametrize("frame", [14, 29, 464, 480])
def test_aligned_slices_are_the_samples_that_google_would_cut(frame, lag):
    """The arithmetic of slices against plain arrays; frame 480 reaches beyond the end."""
    sound = engine.Sound(noise(490 * 960))
    other = engine.Slice.of(sound, 100)
    part = engine.Slice.of(sound, frame)
    assert abs(len(part) - 28_800) <= 2
    reference, estimate = engine.align_and_truncate(other, part, lag)
    plain = np.array(alignment.moved(part.samples, lag))
    expected = other.samples
    if len(expected) > len(plain):
        expected = expected[: len(plain)]
    elif len(expected) < len(plain):
        skipped = int(lag / RATE * RATE)
        expected, plain = expected[skipped:], plain[skipped : len(expected)]
    np.testing.assert_array_equal(reference.samples, expected)
    np.testing.assert_array_equal(estimate.samples, plain)
    np.testing.assert_allclose(
        estimate.levels(), gammatone.spectrogram(np.ascontiguousarray(plain)), rtol=1e-12
    )


# --- the model ----------------------------------------------------------------------------------


def test_equal_signals_have_the_published_score():
    assert svr.model().score(np.ones(32)) == pytest.approx(4.732101253042348, abs=1e-12)


def test_no_similarity_scores_above_the_declared_maximum():
    from scipy.optimize import minimize

    highest = minimize(
        lambda x: -svr.model().score(x), np.full(32, 0.95), bounds=[(-1, 1)] * 32, method="L-BFGS-B"
    )
    assert 4.737 < -highest.fun <= Visqol.values[0].high


def test_a_changed_model_is_refused(tmp_path, monkeypatch):
    damaged = bytearray(svr.MODEL.read_bytes())
    damaged[5000] ^= 1
    (tmp_path / "svr.npz").write_bytes(damaged)
    monkeypatch.setattr(svr, "MODEL", tmp_path / "svr.npz")
    with pytest.raises(MetricError, match="sha256"):
        svr.model.__wrapped__()
    monkeypatch.setattr(svr, "MODEL", tmp_path / "absent.npz")
    with pytest.raises(MetricError, match="reinstall"):
        svr.model.__wrapped__()


def test_libsvm_s_text_is_read_with_its_zeros_left_out():
    text = "svm_type nu_svr\nkernel_type rbf\ngamma 0.5\ntotal_sv 1\nrho -3\nSV\n2 1:1 32:3 \n"
    read = svr.convert(text)
    assert read.vectors[0, 0] == 1 and read.vectors[0, 31] == 3 and read.vectors.sum() == 4
    assert read.weights.tolist() == [2.0] and (read.gamma, read.rho) == (0.5, -3.0)
    with pytest.raises(MetricError, match="expected nu_svr"):
        svr.convert(text.replace("nu_svr", "c_svc"))


# --- the whole ----------------------------------------------------------------------------------


def test_level_and_delay_cost_nothing_and_less_noise_is_better(vocals):
    short = vocals[48_000:144_000]
    reference = Reference(short)
    assert reference.compare(short * np.float32(0.01)).score == pytest.approx(4.7321, abs=1e-4)
    late = np.concatenate([np.zeros(480, np.float32), short])
    assert reference.compare(late).score == pytest.approx(4.7321, abs=1e-3)
    scores = [
        reference.compare(short + noise(len(short), 1, level)).score for level in (1e-3, 1e-2)
    ]
    assert 4.73 > scores[0] > scores[1] > 1


def test_a_silent_estimate_has_the_lowest_score(vocals):
    assert Reference(vocals).compare(np.zeros_like(vocals)).score == 1.0


def test_a_reference_of_one_patch_is_the_shortest(vocals):
    shortest = vocals[100_000 : 100_000 + engine.MINIMUM_SAMPLES]
    assert Reference(shortest).compare(shortest).score == pytest.approx(4.7321, abs=1e-4)
    with pytest.raises(engine.TooShort, match="46079 samples"):
        Reference(shortest[:-1])
    with pytest.raises(engine.TooShort):
        Reference(vocals).compare(vocals[:2000])


def test_statuses_of_the_metric(clip):
    vocals = clip.stems["vocals"]
    silent = Audio(np.zeros_like(vocals.samples), vocals.rate)
    opposed = Audio(np.stack([vocals.samples[0], -vocals.samples[0]]), vocals.rate)
    metric = Visqol()
    for reference, estimate, status, value in (
        (silent, vocals, "ref_silent", None),
        (opposed, vocals, "ref_silent", None),
        (silent, silent, "ref_silent", None),
        (vocals, silent, "ok", 1.0),
        (vocals, opposed, "ok", 1.0),
    ):
        references = References({"vocals": reference})
        score = metric.score_track(references, {"vocals": estimate}, ("vocals",))["vocals"][""]
        assert (score.status, score.value) == (status, value)


def test_a_reference_is_prepared_once_for_all_systems(clip, monkeypatch):
    made = []

    def counted(samples, **options):
        made.append(1)
        return Reference(samples, **options)

    monkeypatch.setattr(engine, "Reference", counted)
    references = References(clip.stems)
    for _ in range(2):
        Visqol().score_track(references, dict(clip.stems), ("bass",))
    assert made == [1]


def test_threads_give_the_scores_of_one_thread(vocals, mixture):
    pairs = [(vocals[s : s + 72_000], mixture[s : s + 72_000]) for s in range(0, 192_000, 24_000)]

    def score(pair):
        return Reference(pair[0]).compare(pair[1]).score

    alone = [score(pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(score, pairs * 2)) == alone * 2


def test_one_reference_serves_many_threads(vocals, mixture):
    reference = Reference(vocals[:96_000])
    estimates = [mixture[:96_000] * np.float32(g) + vocals[:96_000] for g in (0, 0.1, 0.5, 2)]
    alone = [reference.compare(e).score for e in estimates]
    with ThreadPoolExecutor(4) as pool:
        assert [r.score for r in pool.map(reference.compare, estimates)] == alone


def run(code: str, **environment: str) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_metric_is_described_without_compiling_anything():
    code = """
        import sys
        from benchsep.metrics.visqol import Visqol
        Visqol().settings(), Visqol().available()
        print([m for m in ("numba", "scipy", "torch", "soxr") if m in sys.modules])
    """
    assert run(code) == "[]"


@pytest.mark.parametrize("writable", [True, False])
def test_kernels_compile_where_the_package_cannot_be_written(tmp_path, writable):
    """Then the user's cache holds the machine code; and where there is none, nothing does."""
    (tmp_path / "mine.py").write_text(
        "from benchsep.metrics.jit import kernel\n"
        "@kernel\ndef twice(x: float) -> float:\n    return 2 * x\n"
    )
    code = f"""
        import sys
        from numba.core import caching
        def refuse(self): raise OSError("read-only")
        caching.InTreeCacheLocator.ensure_cache_path = refuse
        if not {writable}:
            caching.UserWideCacheLocator.ensure_cache_path = refuse
        sys.path.insert(0, {str(tmp_path)!r})
        import mine
        print(mine.twice(4.0))
    """
    home = tmp_path / "home"
    home.mkdir()
    out = run(code, HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), NUMBA_CACHE_DIR="")
    assert out == "8.0"
    assert bool(list(home.rglob("*.nbi"))) == writable
