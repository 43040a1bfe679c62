"""uSDR and SI-SDR against torchmetrics, the definition, and each other."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import STEMS, Audio
from benchsep.metrics.metric import References
from benchsep.metrics.sdr import (
    DELTA,
    SISDR,
    USDR,
    energies,
    inner_products,
    sisdr,
    sisdr_parts,
    usdr,
)
from benchsep.metrics.sums import flat


@pytest.fixture(scope="module")
def samples(clip):
    """Estimates with a gain, bleed and noise."""
    rng = np.random.default_rng(5)
    stems = {s: a.samples for s, a in clip.stems.items()}
    total = sum(stems.values())
    return stems, {
        s: (0.7 * x + 0.15 * (total - x) + 1e-3 * rng.standard_normal(x.shape)).astype(np.float32)
        for s, x in stems.items()
    }


@pytest.fixture(scope="module")
def references(clip):
    return References(clip.stems, clip.mixture)


@pytest.mark.parametrize("stem", STEMS)
def test_sisdr_is_that_of_torchmetrics(samples, stem):
    import torch
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    truth, heard = (torch.from_numpy(x[stem].ravel()).double() for x in samples)
    expected = float(scale_invariant_signal_distortion_ratio(heard, truth))
    assert sisdr(samples[0][stem], samples[1][stem]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("stem", STEMS)
def test_usdr_is_the_challenge_formula(samples, stem):
    truth, heard = (x[stem].astype(np.float64) for x in samples)
    expected = 10 * np.log10(((truth**2).sum() + DELTA) / (((truth - heard) ** 2).sum() + DELTA))
    assert usdr(samples[0][stem], samples[1][stem]) == pytest.approx(expected, abs=1e-9)


def test_usdr_agrees_with_torchmetrics_snr_on_loud_music(samples):
    import torch
    from torchmetrics.functional.audio import signal_noise_ratio

    truth, heard = (torch.from_numpy(x["vocals"].ravel()).double() for x in samples)
    found = usdr(samples[0]["vocals"], samples[1]["vocals"])
    assert found == pytest.approx(float(signal_noise_ratio(heard, truth)), abs=1e-6)


def test_arrays_that_are_read_only_beside_others_have_the_same_sums(samples):
    """A loader may hand out memory maps, a system arrays that it keeps."""
    stems, estimates = samples
    first, second = stems["vocals"], estimates["vocals"].copy()
    expected = inner_products(flat([first]), flat([first, second]))
    second.flags.writeable = False
    assert np.array_equal(inner_products(flat([first]), flat([first, second])), expected)
    assert np.array_equal(inner_products(flat([first]), flat([second, first])), expected[:, ::-1])
    assert first.flags.writeable, "the caller's array is as it was"


def test_distortion_is_interference_and_artefacts(samples):
    """10^(-SDR/10) = 10^(-SIR/10) + 10^(-SAR/10): the parts are orthogonal."""
    stems, heard = samples
    span = list(stems.values())
    gram = inner_products(span, span)
    for index, stem in enumerate(stems):
        sdr, sir, sar = sisdr_parts(index, span, gram, heard[stem])
        assert sdr == pytest.approx(sisdr(stems[stem], heard[stem]), abs=1e-9)
        assert 10 ** (-sdr / 10) == pytest.approx(10 ** (-sir / 10) + 10 ** (-sar / 10))


def test_bleed_is_interference_and_noise_is_artefact(samples):
    stems, _ = samples
    span = list(stems.values())
    gram = inner_products(span, span)
    bleeding = stems["vocals"] + np.float32(0.1) * stems["drums"]
    _, sir, sar = sisdr_parts(list(stems).index("vocals"), span, gram, bleeding)
    assert sar > 120 > sir
    noise = 0.01 * np.random.default_rng(0).standard_normal(bleeding.shape)
    noisy = (stems["vocals"] + noise).astype(np.float32)
    _, sir, sar = sisdr_parts(list(stems).index("vocals"), span, gram, noisy)
    assert sar < 40 < sir


@pytest.mark.parametrize("gain", [0.1, 2.0, -1.0])
def test_sisdr_ignores_gain_and_usdr_does_not(samples, gain):
    stems, heard = samples
    scaled = np.float32(gain) * heard["bass"]
    assert sisdr(stems["bass"], scaled) == pytest.approx(
        sisdr(stems["bass"], heard["bass"]), abs=1e-4
    )
    assert abs(usdr(stems["bass"], scaled) - usdr(stems["bass"], heard["bass"])) > 1


def test_more_noise_never_scores_better(samples):
    stems, _ = samples
    noise = np.random.default_rng(1).standard_normal(stems["other"].shape)
    for score in (usdr, sisdr):
        falling = [
            score(stems["other"], (stems["other"] + level * noise).astype(np.float32))
            for level in (1e-4, 1e-3, 1e-2, 1e-1)
        ]
        assert falling == sorted(falling, reverse=True)


def test_silence_has_the_values_the_card_states(clip, references):
    silent = {"vocals": Audio(0 * clip.stems["vocals"].samples, 44_100)}
    assert USDR().score_track(references, silent, ("vocals",))["vocals"][""].value == pytest.approx(
        0.0, abs=1e-6
    )
    row = SISDR().score_track(references, silent, ("vocals",))["vocals"]
    assert {s.status for s in row.values()} == {"est_silent"}
    hushed = References(clip.stems | silent)
    for metric in (USDR(), SISDR()):
        row = metric.score_track(hushed, clip.stems, ("vocals", "drums"))
        assert {s.status for s in row["vocals"].values()} == {"ref_silent"}


def test_a_silent_reference_spans_nothing(clip, samples):
    """The other stems score as if the track had three stems."""
    _, heard = samples
    silent = Audio(0 * clip.stems["vocals"].samples, 44_100)
    estimates = {"drums": Audio(heard["drums"], 44_100)}
    three = {s: a for s, a in clip.stems.items() if s != "vocals"}
    rows = [
        SISDR().score_track(References(stems), estimates, ("drums",))
        for stems in (three, three | {"vocals": silent})
    ]
    assert rows[0]["drums"]["sir"].value == pytest.approx(rows[1]["drums"]["sir"].value, abs=1e-9)


def test_a_perfect_estimate_is_not_finite_or_capped(clip, references):
    row = SISDR().score_track(references, clip.stems, STEMS)
    assert {s.status for r in row.values() for s in r.values()} == {"not_finite"}
    assert USDR().score_track(references, clip.stems, STEMS)["bass"][""].value > 100


def test_the_mixture_scores_as_measured(clip, references):
    """On this clip; the sensitivity tables of the metric cards start from here."""
    table = USDR().score_track(references, dict.fromkeys(STEMS, clip.mixture), STEMS)
    found = [table[s][""].value for s in STEMS]
    assert found == pytest.approx([-7.18, -4.20, -3.08, -5.55], abs=0.01)


def _alike(found, expected):
    """To rounding, of sums of terms of either sign."""
    return np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("frames", [1, 7, 8, 16383, 40_001])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sums_in_one_pass_are_those_of_the_definition(frames, kind):
    """Also of what is left beside whole vectors, and of signals that do not lie in order."""
    rng = np.random.default_rng(frames)
    signals = [rng.standard_normal((frames, 2)).astype(kind).T for _ in range(3)]
    exact = np.stack([x.astype(np.float64).ravel() for x in signals])
    _alike(inner_products(signals[:2], signals), exact[:2] @ exact.T)
    weights = rng.standard_normal((4, 3))
    _alike(energies(weights, signals), ((weights @ exact) ** 2).sum(1))


def test_an_energy_far_below_its_terms_is_exact():
    """Signals that cancel to 1e-7 of their level: a difference of sums would lose all digits."""
    x = np.random.default_rng(3).standard_normal((2, 40_000)).astype(np.float32)
    y = np.nextafter(x, np.float32(np.inf))
    gap = x.astype(np.float64) - y
    found = energies(np.array([[1.0, -1.0]]), [x, y])[0]
    assert found == pytest.approx(float((gap**2).sum()), rel=1e-12)
