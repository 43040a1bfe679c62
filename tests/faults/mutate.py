"""Seeded damage to bytes, texts and JSON trees."""

from __future__ import annotations

import json
import random
from typing import Any

EXTREMES = (0, 1, 2, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


def damaged_bytes(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to four damages: flipped, cut, doubled, moved, or a number field made absurd."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        result = _DAMAGES[rng.randrange(len(_DAMAGES))](result, others, rng)
    return bytes(result)


def _flip(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return data


def _place(data: bytearray, rng: random.Random) -> int:
    """Headers come first and matter most: half of the hits land in the first 256 bytes."""
    return rng.randrange(min(len(data), 256) if rng.random() < 0.5 else len(data))


def _cut(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _double(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:b] + data[a:]


def _remove(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:a] + data[b:]


def _zero(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    if data:
        at = _place(data, rng)
        end = min(len(data), at + rng.choice((1, 4, 16, 300)))
        data[at:end] = bytes([rng.choice((0, 0xFF))]) * (end - at)
    return data


def _number(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    if len(data) > 8:
        width = rng.choice((2, 4, 8))
        at = min(_place(data, rng), len(data) - width)
        value = rng.choice((*EXTREMES, rng.getrandbits(64))) & (1 << 8 * width) - 1
        data[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
    return data


def _splice(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    other = rng.choice(others)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


_DAMAGES = (_flip, _flip, _flip, _cut, _double, _remove, _zero, _number, _number, _splice)

NASTY: tuple[Any, ...] = (
    None, True, 0, -1, 10**30, -(10**400), 1e308, 0.1, "", "x" * 300, "\x00", "../../etc/passwd",
    "/etc/passwd", "=1+1", "\x1b[31m", "é漢字🎵", "NaN", "nan", "inf", "1e999", [], {}, [[]],
    [None], ["a", 1], {"": None}, {"a": {"b": []}}, "\ud800", "vocals", "folder:\x00",
)  # fmt: skip


def damaged_tree(value: Any, rng: random.Random) -> Any:
    """The tree with one to three nodes replaced, removed, doubled or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return rng.choice(NASTY)
        holder, key = rng.choice(places)
        what = rng.random()
        if what < 0.6:
            holder[key] = rng.choice(NASTY)
        elif what < 0.75:
            del holder[key]
        elif what < 0.85 and isinstance(holder, dict):
            holder[rng.choice(("", "x", "name", "format", "\x00"))] = holder.pop(key)
        elif isinstance(holder, list):
            holder.insert(key, holder[key])
        else:
            holder[key] = [holder[key]]
    return value if rng.random() < 0.97 else rng.choice(NASTY)


def _places(value: Any) -> Any:
    """Every (container, key) below a value."""
    if isinstance(value, dict):
        for key in list(value):
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value, index
            yield from _places(value[index])


def nested(rng: random.Random) -> bytes:
    """Depth that a recursive parser may not survive, or aliases that multiply."""
    deep = 10 ** rng.randint(3, 5)
    return rng.choice(
        (
            b"[" * deep,
            b'{"a":' * deep,
            b"[" * deep + b"]" * deep,
            b"systems: " + b"[" * 2000 + b"]" * 2000,
            "\n".join(
                [
                    "a0: &a0 [x, x, x, x, x, x, x, x, x]",
                    *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)),
                    "systems: *a11",
                ]
            ).encode(),
            b"systems: &a [*a]",
            b"metrics: " + b"9" * 10_000,
        )
    )
