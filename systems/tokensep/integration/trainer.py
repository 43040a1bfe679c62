"""tokensep as a benchsep trainer: settings in, a checkpoint folder out.

Settings are dotted keys: ``preset`` (of the separator), ``codec`` (``mini`` or a folder: frozen,
the same for all variants), ``model.…`` (:class:`tokensep.lm.config.TokenSepConfig`), ``train.…``
(:class:`tokensep.lm.config.LMTrainConfig`), ``init`` (``mini`` or a folder: the LM to start from),
``songs`` (a folder of more songs with stems, e.g. of ``tokensep synth``), ``shards`` (a folder of
pseudo-labels). A finished folder holds codec and LM, so that ``tokensep:checkpoint=FOLDER`` loads
it. With the plugin, the only module that knows benchsep.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchsep._util.suggest import did_you_mean
from benchsep._util.tensors import combined_sha256, file_sha256
from benchsep.errors import UsageError
from tokensep.codec.files import CODEC_FILES, codec_files

VERSION = 2
"""Must be increased when a change of the training gives other weights for the same settings."""

SECONDS_PER_POSITION = 0.36 / (2 * (4 * 69 + 16))
"""CPU seconds per LM position of a training crop, everything included: the mini's step of two crops
of four stems of 69 steps and a prefix of 16 took 0.36 s on one core of an EPYC (AVX-512)."""


class TokenSepTrainer:
    """See :class:`benchsep.ablation.trainer.Trainer`."""

    def resolve(self, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Presets, overrides and seed as one JSON object.

        Raises
        ------
        UsageError
            an unknown key, or values that do not fit together.
        """
        from tokensep import config as configs
        from tokensep.lm.config import PRESETS, LMTrainConfig, TokenSepConfig
        from tokensep.lm.training_presets import TRAINING

        left = dict(settings)
        more = _more_data(left)
        if "init" in left:
            more |= _init(str(left.pop("init")))
        preset, codec = left.pop("preset", "mini"), str(left.pop("codec", "mini"))
        if preset not in PRESETS:
            raise UsageError(
                f"tokensep: unknown preset {preset!r}{did_you_mean(preset, list(PRESETS))}"
            )
        model = PRESETS[preset].model_dump(mode="json")
        train = TRAINING[preset].model_dump(mode="json")
        for key, value in left.items():
            part, _, rest = key.partition(".")
            if part not in ("model", "train") or not rest:
                known = ["preset", "codec", "init", "songs", "shards", "model.…", "train.…"]
                raise UsageError(f"tokensep: unknown setting {key!r}{did_you_mean(key, known)}")
            _put(model if part == "model" else train, rest.split("."), value)
        trained = configs.load(LMTrainConfig, {**train, "seed": seed})
        fitted = configs.load(TokenSepConfig, model)
        if trained.cpu_minutes or trained.wall_minutes:
            raise UsageError(
                "tokensep: the training has no max_steps, so variants would differ in steps; set "
                "train.max_steps"
            )
        weights = codec_folder(codec) / CODEC_FILES[0]
        if not weights.is_file():
            raise UsageError(f"tokensep: the codec folder {codec} has no {CODEC_FILES[0]}")
        return {
            "version": VERSION,
            "codec": codec,
            "codec_sha256": combined_sha256(codec_files(weights.parent)),
            "model": fitted.model_dump(mode="json"),
            "train": trained.model_dump(mode="json"),
            **more,
        }

    def train(
        self, resolved: Mapping[str, Any], data: Path, folder: Path, cache: Path
    ) -> dict[str, Any]:
        """Train the LM of one variant; codec and tokens are shared through ``cache``.

        One function, because each step needs the results of most steps before it.
        """
        import torch

        from tokensep import config as configs
        from tokensep.codec.interface import device_of
        from tokensep.codec.model import HCodec
        from tokensep.codec.teacher import feature_width
        from tokensep.lm.config import LMTrainConfig, TokenSepConfig
        from tokensep.train import lm
        from tokensep.train.cache import fingerprint
        from tokensep.train.data import StemStore, musdb_folders
        from tokensep.train.fitting import fit_config
        from tokensep.train.pseudo_labels import shards_in

        torch.set_num_threads(1)
        source = codec_folder(resolved["codec"])
        codec = HCodec.from_checkpoint(source)
        config = configs.load(TokenSepConfig, dict(resolved["model"]))
        if config.encoder.kind == "ssl":
            encoder = config.encoder.model_copy(update={"ssl_dim": feature_width(codec.teacher)})
            config = config.model_copy(update={"encoder": encoder})
        train = configs.load(LMTrainConfig, dict(resolved["train"]))
        config = fit_config(config, codec)
        folders = [data, Path(resolved["songs"])] if "songs" in resolved else [data]
        files = list(musdb_folders(folders))
        audio = cache / f"audio-{_mark(fingerprint(files), config.rate)}"
        store = StemStore.build(audio, files, config.rate, together=True)
        facts = [resolved["codec_sha256"], config.rate, config.frame_hop, config.loudness]
        facts += [resolved["shards_mark"]] if "shards" in resolved else []
        shards = shards_in(Path(resolved["shards"])) if "shards" in resolved else []
        encoded = cache / f"bank-{_mark(audio.name, *facts, train.seed, train.variants)}"
        result = lm.train_lm(
            folder / "training",
            codec=codec,
            store=store,
            config=config,
            train=train,
            shards=shards,
            init=codec_folder(resolved["init"]) if "init" in resolved else None,
            data_folder=encoded,
        )
        return {"device": _device_name(device_of(codec)), **_finish(folder, source, result)}

    def spec(self, folder: Path, options: Mapping[str, str]) -> str:
        """``tokensep:checkpoint=FOLDER,…``."""
        given = {"checkpoint": str(folder), **options}
        return "tokensep:" + ",".join(f"{key}={value}" for key, value in given.items())

    def cpu_seconds(self, resolved: Mapping[str, Any]) -> float:
        """Positions of a crop, by the size of what does them, x crops x a measured rate."""
        from tokensep.lm import layout
        from tokensep.lm.config import TokenSepConfig

        config = TokenSepConfig.model_validate(resolved["model"])
        train = resolved["train"]
        steps = layout.build(config).steps(config.window_frames) * len(config.stems)
        positions = steps + config.window_frames // config.lm.prefix_pool
        work = positions * config.lm.layers * config.lm.dim**2
        if config.layout.kind == "depth":  # every layer of a frame is a position of the depth head
            work += steps * config.layers * config.lm.depth_layers * config.lm.depth_dim**2
        crops = train["max_steps"] * train["batch"] * train["accumulate"]
        return float(crops * work / (4 * 256**2) * SECONDS_PER_POSITION)


def codec_folder(name: str) -> Path:
    """The folder of a codec; ``mini`` ships with the package."""
    return Path(__file__).parents[1] / "weights" / "mini" if name == "mini" else Path(name)


def _more_data(settings: dict[str, Any]) -> dict[str, Any]:
    """``songs`` and ``shards``, taken out of the settings, with fingerprints of their content."""
    from tokensep.train.cache import fingerprint
    from tokensep.train.data import musdb_files, songs_in
    from tokensep.train.pseudo_labels import shards_in

    found: dict[str, Any] = {}
    for name in {"songs", "shards"} & settings.keys():
        folder = Path(str(settings.pop(name)))
        inside: list[tuple[Any, ...]] = []
        if folder.is_dir():
            if name == "shards":
                inside = [(path,) for path in shards_in(folder)]
            elif songs_in(folder):
                inside = list(musdb_files(folder, None, set()))
        if not inside:
            wanted = "pseudo-label shards (*.tar)" if name == "shards" else "songs with stems"
            raise UsageError(f"tokensep: {name}: found no {wanted} in {folder}")
        found |= {name: str(folder), f"{name}_mark": fingerprint(inside)}
    return found


def _init(name: str) -> dict[str, Any]:
    from tokensep.lm.weights import WEIGHTS

    weights = codec_folder(name) / WEIGHTS
    if not weights.is_file():
        raise UsageError(f"tokensep: the init folder {name} has no {WEIGHTS}")
    return {"init": name, "init_sha256": file_sha256(weights)}


def _put(target: dict[str, Any], path: list[str], value: Any) -> None:
    *outer, last = path
    for name in outer:
        inner = target.setdefault(name, {})
        if not isinstance(inner, dict):
            raise UsageError(f"tokensep: {'.'.join(path)}: {name} has no settings below it")
        target = inner
    target[last] = value


def _mark(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _finish(folder: Path, codec: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Lay codec and LM side by side, drop what only resuming needs."""
    work = folder / "training"
    for name in CODEC_FILES:
        if (codec / name).is_file():
            shutil.copyfile(codec / name, folder / name)
    for path in (work / "final").iterdir():
        path.replace(folder / path.name)
    cpu = _last_cpu(work / "train.csv")
    for path in [work / "checkpoints", work / "best", work / "final"]:
        shutil.rmtree(path, ignore_errors=True)
    facts: dict[str, Any] = {"cpu_seconds": cpu, "steps": result.get("step")}
    if "nll" in result:
        first = result["nll_layer"]
        facts["nll"] = result["nll"]
        facts["note"] = f"NLL {result['nll']:.2f} (first layer {first[0]:.2f})"
    return facts


def _device_name(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device.type)


def _last_cpu(path: Path) -> float:
    """CPU seconds over all resumptions, from the training log."""
    return float(path.read_text().strip().splitlines()[-1].split(",")[1])
