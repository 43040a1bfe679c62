"""The part of Standard MIDI files that is needed to split an arrangement into stems.

Conventions
-----------
An *event* is ``(tick, bytes)`` with its status byte written out; ticks count from the start. A song
is one list of events in order of time (the tracks of the file merged): what belongs to the whole
song (tempo, time signature) and what belongs to a channel. Drums are channel 10 (9 here), bass is
General MIDI's programs 33 to 40 (32 to 39 here), *other* is the rest. Source of the format: the
Standard MIDI File 1.0 specification.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tokensep.errors import DataError

Event = tuple[int, bytes]
DRUM_CHANNEL = 9
BASS_PROGRAMS = range(32, 40)
PARTS = ("drums", "bass", "other")
_DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
_END = b"\xff\x2f\x00"


@dataclass(frozen=True)
class Midi:
    """All events of a file in order of time, and its ticks per quarter note."""

    division: int
    events: list[Event]


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Variable-length number at ``at`` and the position after it."""
    value = 0
    while True:
        byte = data[at]
        at, value = at + 1, value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at


def _packed(value: int) -> bytes:
    """Inverse of :func:`_number`."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def _track(data: bytes) -> Iterable[Event]:
    at, tick, status = 0, 0, 0
    while at < len(data):
        wait, at = _number(data, at)
        tick += wait
        if data[at] >= 0x80:
            status, at = data[at], at + 1
        if status in (0xFF, 0xF0, 0xF7):  # meta events and system-exclusive ones carry a length
            kind = data[at : at + 1] if status == 0xFF else b""
            size, body = _number(data, at + len(kind))
            event = bytes([status]) + kind + data[at + len(kind) : body + size]
            at = body + size
        else:
            count = _DATA_BYTES[status >> 4]
            event = bytes([status]) + data[at : at + count]
            at += count
        yield tick, event


def parse(data: bytes) -> Midi:
    """Read a file of format 0 or 1.

    Raises
    ------
    DataError
        the bytes are not a Standard MIDI file of format 0 or 1.
    """
    try:
        if data[:4] != b"MThd":
            raise ValueError("no MThd header")
        _, tracks, division = struct.unpack(">HHH", data[8:14])
        at = 8 + struct.unpack(">I", data[4:8])[0]
        events: list[Event] = []
        for _ in range(tracks):
            size = struct.unpack(">I", data[at + 4 : at + 8])[0]
            if data[at : at + 4] != b"MTrk" or at + 8 + size > len(data):
                raise ValueError(f"no whole track at byte {at}")
            events += _track(data[at + 8 : at + 8 + size])
            at += 8 + size
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise DataError(f"not a Standard MIDI file ({error!r})") from error
    # the sort is stable: within a tick, events keep the order of their track
    return Midi(division, sorted((e for e in events if e[1] != _END), key=lambda e: e[0]))


def write(midi: Midi) -> bytes:
    """One track (format 0)."""
    out, now = bytearray(), 0
    for tick, event in midi.events:
        out += _packed(tick - now) + event
        now = tick
    out += b"\x00" + _END
    head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, midi.division)
    return head + b"MTrk" + struct.pack(">I", len(out)) + bytes(out)


def notes(midi: Midi) -> int:
    """Number of notes that begin."""
    return sum(e[0] >> 4 == 9 and e[2] > 0 for _, e in midi.events)


def split(midi: Midi) -> dict[str, Midi]:
    """The song as ``drums``, ``bass`` and ``other``: every note in one of them.

    A note belongs to the stem of its channel's program at its start, and its end goes to the same
    stem. Controllers go to all stems (they are silent without notes), so no stem misses a setting.
    """
    parts: dict[str, list[Event]] = {part: [] for part in PARTS}
    program: dict[int, int] = {}
    sounding: dict[tuple[int, int], str] = {}
    for tick, event in midi.events:
        kind, channel = event[0] >> 4, event[0] & 0x0F
        if kind == 0xC:
            program[channel] = event[1]
        if kind in (0x8, 0x9, 0xA):
            note = channel, event[1]
            if kind == 0x9 and event[2] > 0:
                sounding[note] = _part(channel, program.get(channel, 0))
            parts[sounding.get(note, _part(channel, program.get(channel, 0)))].append((tick, event))
        else:
            for events in parts.values():
                events.append((tick, event))
    return {part: Midi(midi.division, events) for part, events in parts.items()}


def _part(channel: int, program: int) -> str:
    if channel == DRUM_CHANNEL:
        return "drums"
    return "bass" if program in BASS_PROGRAMS else "other"


def reprogrammed(midi: Midi, change: Callable[[int, int], int]) -> Midi:
    """Every program change ``(channel, program)`` replaced by what ``change`` gives."""
    events = [
        (t, bytes([e[0], change(e[0] & 0x0F, e[1])]) if e[0] >> 4 == 0xC else e)
        for t, e in midi.events
    ]
    return Midi(midi.division, events)


def as_kit(midi: Midi) -> Midi:
    """Drum notes on the first channel and its first program: for banks that hold one drum kit."""
    events = [
        (t, bytes([e[0] & 0xF0, *e[1:]]))
        for t, e in midi.events
        if e[0] < 0xF0 and e[0] & 0x0F == DRUM_CHANNEL and e[0] >> 4 != 0xC
    ]
    whole = [(t, e) for t, e in midi.events if e[0] >= 0xF0]
    return Midi(midi.division, sorted([*whole, *events], key=lambda e: e[0]))
