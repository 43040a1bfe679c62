"""museval's call on benchsep's engine: its values in every version, and its own test suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchsep.museval.api import bss_eval, framing

SUITE = os.environ.get("BENCHSEP_MUSEVAL_TESTS", "")
"""The folder ``tests`` of a checkout of sigsep/sigsep-mus-eval."""


@pytest.fixture(scope="module")
def museval():
    return pytest.importorskip("museval.metrics", exc_type=Exception, reason="museval, ffmpeg")


@pytest.fixture(scope="module")
def pair(clip):
    """Two stereo stems and estimates of them with bleed and noise, ``[2, 1.5 s, 2]`` at 8 kHz."""
    stems = [clip.stems[s].resampled(8_000).samples.T.astype(np.float64) for s in ("drums", "bass")]
    truth = np.stack(stems)[:, 8_000:20_000]
    noise = 1e-3 * np.random.default_rng(0).standard_normal(truth.shape)
    return truth, truth + 0.2 * truth[::-1] + noise


def assert_same(found, expected) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("sources", [False, True])
@pytest.mark.parametrize("framewise", [False, True])
def test_every_version_has_the_values_of_museval(pair, museval, framewise, sources):
    options = {
        "window": 6_000, "hop": 2_500, "filters_len": 64,
        "framewise_filters": framewise, "bsseval_sources_version": sources,
    }  # fmt: skip
    assert_same(bss_eval(*pair, **options), museval.bss_eval(*pair, **options))


@pytest.mark.parity
@pytest.mark.parametrize("framewise", [False, True])
def test_swapped_estimates_are_found_as_in_museval(pair, museval, framewise):
    truth, heard = pair
    options = {
        "window": np.inf, "hop": np.inf, "filters_len": 64,
        "compute_permutation": True, "framewise_filters": framewise,
    }  # fmt: skip
    found = bss_eval(truth, heard[::-1], **options)
    assert found[4].ravel().tolist() == [1, 0]
    assert_same(found, museval.bss_eval(truth, heard[::-1], **options))


@pytest.mark.parity
def test_silent_windows_and_one_dimension_are_those_of_museval(pair, museval):
    truth, heard = (x[:, :, 0].copy() for x in pair)
    heard[1, :4_000] = 0
    options = {"window": 4_000, "hop": 4_000, "filters_len": 32}
    expected = museval.bss_eval(truth, heard, **options)
    assert np.isnan(expected[0][:, 0]).all() and np.isfinite(expected[0][:, 1:]).all()
    assert_same(bss_eval(truth, heard, **options), expected)


@pytest.mark.parametrize("bad", ["shape", "reference", "estimate"])
def test_what_museval_refuses_is_refused(pair, bad):
    truth, heard = pair
    if bad == "shape":
        truth = truth[:, :-1]
    elif bad == "reference":
        truth = truth * [[[0]], [[1]]]
    else:
        heard = heard * 0
    with pytest.raises(ValueError, match="expected"):
        bss_eval(truth, heard)


def test_nothing_gives_nothing_and_a_warning():
    with pytest.warns(UserWarning, match="empty"):
        assert all(x.size == 0 for x in bss_eval(np.array([]), np.array([])))


@pytest.mark.parametrize("samples", [100, 1000, 1001, 2499, 2500, 9999])
@pytest.mark.parametrize(("window", "hop"), [(1000, 1000), (1000, 300), (999.5, 750.25)])
def test_windows_are_those_of_museval(museval, samples, window, hop):
    assert framing(window, hop, samples) == list(museval.Framing(window, hop, samples))


@pytest.mark.parity
@pytest.mark.skipif(
    not Path(SUITE, "test_bsseval.py").is_file(),
    reason="set BENCHSEP_MUSEVAL_TESTS to the tests of a sigsep-mus-eval checkout",
)
def test_museval_s_own_test_suite_passes_on_this_engine():
    """All but test_cli.py, which asks for files that museval does not publish."""
    here = Path(__file__).parent / "plugin"
    files = ("test_bsseval.py", "test_museval.py", "test_regression.py")
    words = ["-q", "-n", "0", "-p", "museval_on_benchsep", "-c", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *files],
        cwd=SUITE,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


@pytest.mark.parity
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_nan_spoils_the_windows_that_it_spoils_in_museval(pair, museval, version, side):
    truth, heard = pair[0].copy(), pair[1].copy()
    (truth, heard)[side][0, 5] = np.nan
    options = {"window": 6_000, "hop": 6_000, "filters_len": 64}
    options["framewise_filters"] = version == "v3"
    found, expected = bss_eval(truth, heard, **options), museval.bss_eval(truth, heard, **options)
    assert_same(found, expected)
    assert np.isnan(found[0][0]).any()
    # A reference is in the filters of every source, an estimate in its own alone.
    assert side == 0 or np.isfinite(found[0][1]).all()


@pytest.mark.parametrize("kind", [complex, object])
def test_what_is_no_real_number_is_refused(pair, kind):
    with pytest.raises(ValueError, match="expected real numbers"):
        bss_eval(pair[0].astype(kind), pair[1].astype(kind))
