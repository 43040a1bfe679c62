"""The sounds of the listening page: FLAC, or Opus if FLAC would be too large.

Conventions
-----------
flac   16 bit; samples beyond full scale are clipped, as in any player
opus   160 kbit/s at 48 kHz and complexity 1 of 10 in an Ogg container, without the random serial
       number: the same sound gives the same bytes. It begins at the same sample; it may end up to
       20 ms later
file   base64 in a script, a third larger than the sound, because a page on disk can only load
       scripts
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchsep._util.atomic import write_atomically
from benchsep.audio import Audio

Codec = Literal["flac", "opus"]
CODECS: tuple[Codec, ...] = ("flac", "opus")
MAX_MB = 60.0
"""If the sounds would be larger in total (MB), the page uses Opus."""
OPUS_RATE, OPUS_BITS = 48_000, 160_000
OPUS_COMPLEXITY = "1"
"""It takes half the time of the codec's default (10) with equal quality: on nine true and estimated
stems of 20 s, ViSQOL is 4.72 and the error is 22 dB below the sound for 1, 2, 5 and 10. 0 has no
short blocks, which transients need."""
FLAC_SHARE = 0.65
"""Size of music in FLAC over its size in 16-bit PCM: the mean of our reports, rounded up."""
BASE64 = 4 / 3


def expected_mb(seconds: float, rate: int, signals: int, codec: Codec) -> float:
    """Megabytes of ``signals`` stereo sounds of ``seconds`` in the page's scripts."""
    bits = OPUS_BITS if codec == "opus" else rate * 2 * 16 * FLAC_SHARE
    return signals * seconds * bits / 8 * BASE64 / 1e6


def choose(seconds: float, rate: int, signals: int, max_mb: float = MAX_MB) -> Codec:
    """FLAC if all sounds fit into ``max_mb`` megabytes, else Opus."""
    return "flac" if expected_mb(seconds, rate, signals, "flac") <= max_mb else "opus"


def write_audio_script(
    folder: Path,
    address: str,
    name: str,
    signals: Mapping[str, Audio],
    codec: Codec,
    spread: Callable[..., Iterator[Any]] = map,
) -> Path:
    """Write the sounds of one stem as ``<folder>/<name>.js``, under the key ``address/name``.

    ``spread`` maps over the sounds: ``map``, or ``map`` of a thread pool. Equal sounds are encoded
    once; sounds in the file of an earlier report are not encoded again.
    """
    path = folder / f"{name}.js"
    digests = dict(zip(signals, spread(partial(_digest, codec), signals.values()), strict=True))
    files = _encoded_before(path)
    new = {digests[k]: audio for k, audio in signals.items() if digests[k] not in files}
    encode = partial(_base64, codec)
    files |= zip(new, spread(encode, new.values()), strict=True)
    key = json.dumps(f"{address}/{name}")
    # ASCII JSON is JavaScript; labels can hold anything and stay string keys.
    body = json.dumps({k: files[digests[k]] for k in signals}, ensure_ascii=True, sort_keys=True)
    head = json.dumps(digests, ensure_ascii=True, sort_keys=True)
    script = f"// {head}\nbenchsep.audioFile({key},{_BEFORE}{json.dumps(body)}{_AFTER}"
    write_atomically(path, script)
    return path


_BEFORE, _AFTER = "JSON.parse(", "));\n"


def _encoded_before(path: Path) -> dict[str, str]:
    """Digest to encoded sound from an earlier report's file; empty if there is none."""
    try:
        head, script = path.read_text(encoding="ascii").split("\n", 1)
        body = script[script.index(_BEFORE) + len(_BEFORE) : -len(_AFTER)]
        sounds = json.loads(json.loads(body))
        return {digest: sounds[label] for label, digest in json.loads(head[3:]).items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # absent, or of another version: everything is encoded


def _digest(codec: Codec, audio: Audio) -> str:
    """Digest of a sound and of everything that affects its file."""
    how = f"{codec} {OPUS_BITS} {OPUS_COMPLEXITY} {audio.rate} {audio.samples.shape}"
    found = hashlib.sha256(how.encode())
    found.update(np.ascontiguousarray(audio.samples).data)
    return found.hexdigest()[:32]


def _base64(codec: Codec, audio: Audio) -> str:
    return base64.b64encode({"flac": flac, "opus": opus}[codec](audio)).decode()


def flac(audio: Audio) -> bytes:
    """The sound as a FLAC file."""
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, audio.samples.T, audio.rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def opus(audio: Audio) -> bytes:
    """The sound as an Ogg file of Opus; mono or stereo (more channels are mixed to mono)."""
    import av

    sound = audio.resampled(OPUS_RATE)
    samples = sound.samples if sound.channels <= 2 else sound.samples.mean(0, keepdims=True)
    layout = "stereo" if len(samples) == 2 else "mono"
    out = io.BytesIO()
    options = {"fflags": "+bitexact", "serial_offset": "0"}
    with av.open(out, "w", format="ogg", options=options) as container:
        how = {"compression_level": OPUS_COMPLEXITY}
        stream: Any = container.add_stream("libopus", rate=OPUS_RATE, options=how, layout=layout)
        stream.bit_rate = OPUS_BITS
        pcm = np.ascontiguousarray(np.clip(samples, -1.0, 1.0).T.reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(pcm, format="flt", layout=layout)
        frame.sample_rate = OPUS_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return out.getvalue()
