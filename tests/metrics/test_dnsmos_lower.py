"""The convolutions of P.835 that onnxruntime does not run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate

from benchsep.errors import MetricError
from benchsep.metrics.dnsmos import graphs, lower, p835, winograd
from benchsep.metrics.dnsmos.onnx import subgraph, weight


def plainly(maps, filters, bias):
    """A convolution, channel by channel in double precision, without the outermost numbers."""
    found = [
        sum(
            correlate(maps[:, :, c].astype(float), one[c], mode="valid")
            for c in range(maps.shape[2])
        )
        for one in filters.astype(float)
    ]
    return np.maximum(np.stack(found, axis=2) + bias, 0.0)


@pytest.mark.parametrize(("channels", "width"), [(16, 64), (32, 32), (16, 16)])
@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_convolution_is_that_of_its_definition(channels, width, count):
    rng = np.random.default_rng(count)
    maps = winograd.zeros(count + 3, winograd.COLUMNS, channels)
    maps[:, 1:162] = rng.standard_normal((count + 3, 161, channels))
    filters = rng.standard_normal((width, channels, 3, 3)).astype(np.float32)
    bias = rng.standard_normal(width).astype(np.float32)
    room, sums = winograd.room_for(channels), winograd.room_for(width)
    expected = plainly(maps[: count + 2, :163], filters, bias)

    out = winograd.zeros(count + 3, winograd.COLUMNS, width)
    ready = winograd.transformed(filters)
    winograd.convolve(maps, ready, bias, count, room, sums, out, 2, False)
    assert out[2 : 2 + count, 1:162] == pytest.approx(expected, abs=2e-5)
    out[2 : 2 + count, 1:162] = 0.0
    assert not out.any()  # nothing else is written

    if count % 2 == 0:
        pooled = winograd.zeros(count // 2 + 1, 80, width)
        winograd.convolve(maps, ready, bias, count, room, sums, pooled, 1, True)
        largest = expected[:, :160].reshape(count // 2, 2, 80, 2, width).max((1, 3))
        assert pooled[1:] == pytest.approx(largest, abs=2e-5)
        assert not pooled[0].any()


@pytest.fixture(scope="module")
def network():
    """The part of the graph by onnxruntime, which pads all edges with zeros."""
    model = graphs.graph_path("sig_bak_ovr").read_bytes()
    part = subgraph(model, {p835._SPECTRUM: ("N", 1, "T", 161)}, [p835._POOLED])
    session = graphs._open(part)
    return lambda x: session.run(None, {p835._SPECTRUM: x[None, None]})[0][0]


@pytest.mark.parametrize("frames", [8, 16, 18, 34, 100])
def test_activations_are_those_of_the_graph(network, frames):
    rng = np.random.default_rng(frames)
    spectrum = rng.uniform(-7, 3, (frames, 161)).astype(np.float32)
    whole, own = network(spectrum), lower.Lower(graphs.filters())
    for _ in range(2):  # nothing of the call before is left
        assert own.pooled(spectrum, True, True) == pytest.approx(whole, abs=2e-5)
        assert own.pooled(spectrum, before=True) == pytest.approx(whole[:, :-2], abs=2e-5)
        assert own.pooled(spectrum, after=True) == pytest.approx(whole[:, 2:], abs=2e-5)
        assert own.pooled(spectrum) == pytest.approx(whole[:, 2:-2], abs=2e-5)


def test_frames_that_the_pool_would_cut_are_refused():
    with pytest.raises(ValueError, match="9 frames are left of 17: expected an even number"):
        lower.Lower(graphs.filters()).pooled(np.zeros((17, 161), np.float32))


def test_a_weight_that_is_not_there_is_named():
    model = graphs.graph_path("sig_bak_ovr").read_bytes()
    assert weight(model, "conv2d_3/kernel:0").shape == (32, 64, 3, 3)
    with pytest.raises(MetricError, match="no weight conv2d_9"):
        weight(model, "conv2d_9/kernel:0")
    # The number of bytes is part of the file's own structure: a shape that is too large.
    name = b"\x42\x01w"
    tensor = b"\x08\x03" + b"\x4a\x04" + bytes(4) + name
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    with pytest.raises(MetricError, match=r"w: 4 bytes for float32 numbers \[3\]"):
        weight(b"\x3a" + bytes([len(graph)]) + graph, "w")
