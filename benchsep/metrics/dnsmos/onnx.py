"""Extracts a part of an ONNX graph as a separate graph.

onnxruntime runs whole files only, and the ``onnx`` package, which could cut them, is a large
dependency for one call. A model file is a protocol buffer: a tree of (field number, value)
pairs. Nodes and weights are copied byte by byte; only the list of nodes and the declared inputs and
outputs are new, so weights cannot change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchsep.errors import MetricError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

# Field numbers of onnx.proto3.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE_INFO = 1, 5, 11, 12, 13
NODE_INPUT, NODE_OUTPUT = 1, 2
TENSOR_DIMS, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 1, 4, 8, 9
FLOAT = 1

Shape = tuple[int | str, ...]


class _Node(NamedTuple):
    inputs: list[str]
    outputs: list[str]
    raw: bytes


def subgraph(model: bytes, inputs: Mapping[str, Shape], outputs: Sequence[str]) -> bytes:
    """The part of ``model`` between ``inputs`` and ``outputs``, serialised.

    Parameters
    ----------
    model
        Bytes of an ``.onnx`` file.
    inputs
        Tensor names that become inputs (float32), with their shapes; a string is a dimension
        that may vary.
    outputs
        Tensor names that become outputs.

    Raises
    ------
    MetricError
        if an output depends on something that is neither an input nor a weight.
    """
    graph = next((value for number, value, _ in _fields(model) if number == MODEL_GRAPH), b"")
    nodes = [_node(value) for number, value, _ in _fields(graph) if number == GRAPH_NODE]
    weights = {
        _text(value, TENSOR_NAME): raw
        for number, value, raw in _fields(graph)
        if number == GRAPH_INITIALIZER
    }
    kept, needed = _between(nodes, set(inputs), set(outputs), set(weights))
    dropped = {GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE_INFO}
    body = b"".join(
        [
            *(raw for number, _, raw in _fields(graph) if number not in dropped),
            *(node.raw for node in kept),
            *(raw for name, raw in weights.items() if name in needed),
            *(_pair(GRAPH_INPUT, _value_info(name, shape)) for name, shape in inputs.items()),
            *(_pair(GRAPH_OUTPUT, _value_info(name, None)) for name in outputs),
        ]
    )
    head = b"".join(raw for number, _, raw in _fields(model) if number != MODEL_GRAPH)
    return head + _pair(MODEL_GRAPH, body)


def weight(model: bytes, name: str) -> NDArray[np.float32]:
    """A weight of the graph, float32, in its shape.

    Raises
    ------
    MetricError
        if there is no weight of that name, or the number of values does not match its shape.
    """
    graph = next((value for number, value, _ in _fields(model) if number == MODEL_GRAPH), b"")
    for number, value, _ in _fields(graph):
        if number == GRAPH_INITIALIZER and _text(value, TENSOR_NAME) == name:
            shape, content = list[int](), b""
            for field, part, _ in _fields(value):
                if field == TENSOR_DIMS:
                    shape += _varints(part)
                elif field in (TENSOR_FLOATS, TENSOR_RAW):
                    content += part
            if len(content) != 4 * int(np.prod(shape)):
                raise MetricError(f"{name}: {len(content)} bytes for float32 numbers {shape}")
            return np.frombuffer(content, "<f4").astype(np.float32).reshape(shape)
    raise MetricError(f"the graph has no weight {name}")


def _between(
    nodes: list[_Node], inputs: set[str], outputs: set[str], weights: set[str]
) -> tuple[list[_Node], set[str]]:
    """The nodes that lead from ``inputs`` to ``outputs``, and the names that they read."""
    kept: list[_Node] = []
    needed = set(outputs)
    for node in reversed(nodes):
        if needed.intersection(node.outputs) and not inputs.issuperset(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    made = {name for node in kept for name in node.outputs}
    loose = needed - made - inputs - weights - {""}
    if loose:
        raise MetricError(f"{sorted(loose)} are neither inputs nor weights of this part")
    return kept[::-1], needed


def _node(value: bytes) -> _Node:
    names: dict[int, list[str]] = {NODE_INPUT: [], NODE_OUTPUT: []}
    for number, content, _ in _fields(value):
        if number in names:
            names[number].append(content.decode())
    return _Node(names[NODE_INPUT], names[NODE_OUTPUT], _pair(GRAPH_NODE, value))


def _text(message: bytes, field: int) -> str:
    return next((value.decode() for number, value, _ in _fields(message) if number == field), "")


def _value_info(name: str, shape: Shape | None) -> bytes:
    """A ValueInfoProto of float32."""
    tensor = _varint(1 << 3) + _varint(FLOAT)
    if shape is not None:
        dims = b"".join(
            _pair(1, _pair(2, d.encode()) if isinstance(d, str) else _varint(1 << 3) + _varint(d))
            for d in shape
        )
        tensor += _pair(2, dims)
    return _pair(1, name.encode()) + _pair(2, _pair(1, tensor))


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """``(field number, content, the pair's own bytes)`` of a message, in order."""
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 2:
            length, at = _read_varint(message, at)
            begin, at = at, at + length
        elif kind == 0:
            begin = at
            _, at = _read_varint(message, at)
        elif kind in (1, 5):
            begin, at = at, at + (8 if kind == 1 else 4)
        else:
            raise MetricError(f"not an ONNX file: wire type {kind} at byte {start}")
        if at > len(message):
            raise MetricError(f"not an ONNX file: cut short at byte {start}")
        yield key >> 3, message[begin:at], message[start:at]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise MetricError("not an ONNX file: it ends within a number")


def _varints(content: bytes) -> list[int]:
    found, at = [], 0
    while at < len(content):
        value, at = _read_varint(content, at)
        found.append(value)
    return found


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _pair(field: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content
