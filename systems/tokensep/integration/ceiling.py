"""The ceiling of a codec: true stems encoded and decoded, ``tokensep:codec=…,mode=oracle-tokens``.

Codecs
------
mini      the codec of the shipped weights (or of ``checkpoint=FOLDER``), at its LM's level: the
          same system as ``tokensep:oracle-tokens``
bands     a newer codec of the mini's size (docs/design/tokensep-codec.md) on which no LM is
          trained yet: 25 Hz, 4 + 12 layers, 3.6 kbit/s, as the mini's
hcodec    the published H-Codec-2.0, imported into ``hcodec-2`` in benchsep's cache folder
dac, encodec, mimi   from the Hugging Face hub (:mod:`tokensep.codec.public`)
a folder  a codec folder of tokensep, or a model of ``transformers`` of one of these three kinds

Options: ``codebooks`` (dac, mimi), ``bandwidth`` in kbit/s (encodec), ``revision`` on the hub. By
default all codebooks or the highest bandwidth are used. A codec that cannot be loaded here still
gives a system with the reason in ``info.unavailable``, and a run stores unavailable cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchsep._util.absent import weights_absent
from benchsep._util.cache import cache_folder
from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import combined_sha256
from benchsep.audio import STEMS, Audio
from benchsep.errors import Unavailable, UsageError
from benchsep.systems.contract import SystemInfo
from tokensep.codec.public.models import PUBLISHED, Choice, architecture, open_public, present

CODEC_OPTIONS = ("codec", "codebooks", "bandwidth", "revision")
OPTIONS_IN_NAME = ("codec", "mode", "checkpoint")
IMPORT = (
    "hf download QuarkAudio/H-Codec-2.0 --local-dir H && tokensep import-hcodec "
    "H/large_12.5hz_weights.pt H/large_12.5hz_config.yaml"
)


BANDS = Path(__file__).parents[1] / "weights" / "bands"
BANDS_DATA = (
    "MUSDB18 7-second edition, train split without the 14 validation songs; MDN multitracks; "
    "vocadito; 8.6 h of free game music (weights/bands/README.md)"
)
BANDS_LICENCE = "MIT code; weights for non-commercial use (MUSDB18)"


class CodecCeiling:
    """True stems through a codec.

    Parameters
    ----------
    info : the codec's info; with ``unavailable``, ``through`` is never called.
    through : ``(stem [channels, T], rate)`` → the decoded stem.
    """

    def __init__(self, info: SystemInfo, through: Callable[[Any, int], Any] | None) -> None:
        self.info, self.through = info, through

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]:
        """The stems decoded; lengths, rate and channels are those of the mixture.

        Raises
        ------
        Unavailable
            The codec is not available here.
        """
        if self.through is None:
            raise Unavailable(self.info.unavailable)
        return {
            stem: Audio(self.through(references[stem].samples, mixture.rate), mixture.rate)
            for stem in STEMS
            if stem in references
        }


def load_ceiling(codec: str, device: str, options: dict[str, str]) -> CodecCeiling:
    """The ceiling of a codec other than ``mini``.

    Raises
    ------
    UsageError
        The codec is unknown, or does not have the option or value.
    CheckpointError
        Its files are damaged.
    """
    if codec in PUBLISHED:
        return _public(_choice(codec, None, options), device)
    folder = {"hcodec": hcodec_folder(), "bands": BANDS}.get(codec, Path(codec).expanduser())
    if kind := architecture(folder):
        return _public(_choice(kind, folder, options), device)
    if options:
        raise UsageError(f"tokensep: codec={codec} has no option {', '.join(sorted(options))}")
    if codec != "hcodec" and not folder.is_dir():
        known = ", ".join(("mini", "bands", "hcodec", *PUBLISHED))
        raise UsageError(f"tokensep: found codec={codec}, expected {known} or a folder")
    return _ours("bands" if codec == "bands" else "hcodec", folder, device)


def hcodec_folder() -> Path:
    """The folder of the imported weights for ``codec=hcodec``."""
    return cache_folder() / "hcodec-2"


def _as_typed(folder: Path) -> str:
    """The folder as a user writes it, without the home's path, which reports need not show."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def _choice(name: str, folder: Path | None, options: dict[str, str]) -> Choice:
    def number(option: str, kind: type[int] | type[float]) -> Any:
        text = options.get(option)
        try:
            return None if text is None else kind(text)
        except ValueError:
            raise UsageError(f"tokensep: found {option}={text}, expected a number") from None

    return Choice(
        name,
        folder,
        number("codebooks", int),
        number("bandwidth", float),
        options.get("revision", ""),
    )


def _info(name: str, checkpoint: str, rate: int, licence: str, data: str) -> SystemInfo:
    return SystemInfo(
        name=f"codec-{name}",
        family="oracle",
        rate=rate,
        checkpoint=checkpoint,
        licence=licence,
        training_data=data,
        needs_references=True,
        options={"mode": "oracle-tokens"},
        options_in_name=OPTIONS_IN_NAME,
    )


def _public(choice: Choice, device: str) -> CodecCeiling:
    published = PUBLISHED[choice.name]
    repository = published.repository.rpartition("/")[2]
    checkpoint = choice.folder.name if choice.folder else repository
    ours = (published.licence, published.training_data)
    licence, data = ours if choice.folder is None else ("undeclared", "undeclared")
    info = _info(choice.name, checkpoint, published.rate, licence, data)
    if choice.folder is None:
        info = replace(info, trained_on=published.trained_on)
    try:
        codec, weights = open_public(choice)
    except Unavailable as error:
        return CodecCeiling(replace(info, unavailable=str(error)), None)
    from tokensep.decode.ceiling import Ceiling

    options = {
        **info.options,
        "codebooks": codec.semantic_layers + codec.acoustic_layers,
        "bits_per_second": round(codec.bits_per_second),
        "channels_together": codec.channels,
    }
    files = [path for path in (weights, weights.with_name("config.json")) if path.is_file()]
    sha256 = combined_sha256(files)
    info = replace(info, rate=codec.rate, checkpoint_sha256=sha256, options=options)
    return CodecCeiling(info, partial(_coded, Ceiling(codec.to(device))))


def _coded(ceiling: Any, stem: Any, rate: int) -> Any:
    return ceiling(stem, rate)


def _ours(name: str, folder: Path, device: str) -> CodecCeiling:
    """A codec in the files of :class:`tokensep.codec.model.HCodec`."""
    info = _info(name, folder.name, 48_000, *_source(folder))
    if folder == BANDS:
        info = replace(
            info,
            licence=BANDS_LICENCE,
            training_data=BANDS_DATA,
            trained_on=("musdb18:train-less-validation", "mdn", "vocadito", "free-game-music"),
        )
    if not (folder / "config.json").is_file():
        return CodecCeiling(replace(info, unavailable=_not_imported(folder)), None)
    from tokensep.codec.files import codec_files
    from tokensep.codec.model import HCodec
    from tokensep.decode.ceiling import Ceiling

    try:
        codec = HCodec.from_checkpoint(folder)
    except Unavailable as error:  # its HuBERT is not here
        return CodecCeiling(replace(info, unavailable=str(error)), None)
    layers = codec.semantic_layers + codec.acoustic_layers
    bits = codec.frame_rate * layers * (codec.codebook_size - 1).bit_length()
    options = {
        **info.options,
        "codebooks": layers,
        "bits_per_second": round(bits),
        "channels_together": codec.channels,
    }
    sha256 = combined_sha256(codec_files(folder))
    info = replace(info, rate=codec.rate, checkpoint_sha256=sha256, options=options)
    return CodecCeiling(info, partial(_coded, Ceiling(codec.to(device))))


def _source(folder: Path) -> tuple[str, str]:
    """Licence and training data that the folder's ``config.json`` declares."""
    try:
        data = parse_json((folder / "config.json").read_text(encoding="utf-8"))
        return str(data["source"]["licence"]), "undeclared"
    except (OSError, ValueError, KeyError, TypeError):
        return "undeclared", "undeclared"


def _not_imported(folder: Path) -> str:
    return weights_absent(
        f"H-Codec-2.0 is not imported; to import it: {IMPORT} {_as_typed(folder)}"
    )


def codecs() -> dict[str, str]:
    """Each codec with a name to why it is not here; empty if it is. Looks at the disk only."""
    states = {"mini": "", "bands": ""}
    for name in PUBLISHED:
        states[name] = present(Choice(name))
    folder = hcodec_folder()
    states["hcodec"] = "" if (folder / "config.json").is_file() else _not_imported(folder)
    return states
