"""Names, files and ``key=value`` texts of the command line → configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchsep._util.strict_json import parse_json
from tokensep.errors import ConfigError


def override(base: Any, pairs: list[str]) -> Any:
    """``key=value`` texts onto a pydantic model; ``sampling.`` reaches inside.

    Raises
    ------
    ConfigError
        there is no ``=``, a key is given twice or does not exist, or a value is invalid.
    """
    data = base.model_dump()
    given: set[str] = set()
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"{pair!r}: expected key=value")
        if key in given:
            raise ConfigError(f"{pair!r}: {key} is given twice; leave out one of them")
        given.add(key)
        target = data
        *outer, last = key.split(".")
        for name in outer:
            target = target.setdefault(name, {})
            if not isinstance(target, dict):
                raise ConfigError(f"{pair!r}: {name} is a single value and has no part {last}")
        target[last] = None if value == "none" else value
    from tokensep import config

    return config.load(type(base), data)


def configs_of(name: str) -> tuple[Any, Any]:
    """Separator and codec configurations of a preset, a folder, or a file.

    ``hcodec-2`` is the published codec with the paper's LM. A folder may contain only a codec, or
    only an LM (exported by ``train lm``); the other one is then None.
    """
    from tokensep import config as configs
    from tokensep.lm.config import PRESETS, TokenSepConfig
    from tokensep.lm.weights import CONFIG

    if name in PRESETS or name in configs.PRESETS:
        return PRESETS.get(name, PRESETS["paper"]), configs.PRESETS.get(name)
    path = Path(name)
    if path.is_dir():
        lm, codec = path / CONFIG, path / "config.json"
        separator = configs.load(TokenSepConfig, lm) if lm.is_file() else None
        if separator is not None and not codec.is_file():
            return separator, None
        try:
            data = parse_json(codec.read_bytes())["codec"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{codec} is not a codec's configuration ({error!r})") from error
        return separator, configs.load(configs.CodecConfig, data)
    if not path.is_file():
        known = ", ".join(sorted({*PRESETS, *configs.PRESETS}))
        raise ConfigError(f"{name!r}: expected one of {known}, a folder or a file")
    return configs.load(TokenSepConfig, path), None


def lm_configs(name: str) -> tuple[Any, Any]:
    """As :func:`configs_of`; a folder without an LM is an error."""
    separator, codec = configs_of(name)
    if separator is None:
        raise ConfigError(f"{name} has a codec but no LM; give the name of a preset to --config")
    return separator, codec


def lm_training(name: str, settings: Path | None) -> Any:
    """The settings of a file, else those of a preset, else the defaults (of the mini)."""
    from tokensep.config import load
    from tokensep.lm.config import LMTrainConfig
    from tokensep.lm.training_presets import TRAINING

    if settings is not None:
        return load(LMTrainConfig, settings)
    return TRAINING.get("paper" if name == "hcodec-2" else name, LMTrainConfig())
