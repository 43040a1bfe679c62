"""Reads the variants of an ablation from a YAML file.

Conventions
-----------
settings   dotted keys. ``spec.KEY`` is an option of the system's spec and needs no training; all
           other keys are passed to the trainer (``model.encoder.kind``, ``train.lr``)
axes       a product: ``axis -> level -> settings``; the first level of each axis is the base
variants   an explicit list: ``name -> settings``; the first is the base
control    a variant that must be worse; otherwise the table cannot detect real effects
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from benchsep._util.config import read_mapping, refuse_unknown, validated
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError
from benchsep.metrics.names import column_named
from benchsep.runner.suite import Suite

Settings = dict[str, Any]


class Published(BaseModel):
    """A published value for a variant, shown in its own column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: str
    value: float


class Ablation(BaseModel):
    """One ablation: the content of its YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    trainer: str = ""
    """A name registered under ``benchsep.trainers``; empty: nothing is trained."""
    system: str = ""
    """The base spec of an ablation without a trainer."""
    base: Settings = {}
    """Settings of every variant."""
    axes: dict[str, dict[str, Settings]] = {}
    variants: dict[str, Settings] = {}
    control: str = ""
    seeds: tuple[int, ...] = Field(default=(0, 1), min_length=1)
    """Seeds of training; without a trainer, of the draws."""
    headline: str = "visqol"
    columns: tuple[str, ...] = ()
    """``metric/stem`` columns after the headline, e.g. ``usdr/average``, ``nisqa.mos/vocals``."""
    suite: dict[str, Any] = {}
    """The data and metrics: keys of a suite (:mod:`benchsep.runner.suite`)."""
    published: tuple[Published, ...] = ()
    source: str = ""
    """Source of the published values."""
    caveat: str = ""
    """Limits of the conclusions, in a sentence or two."""

    @field_validator("headline")
    @classmethod
    def _a_column(cls, name: str) -> str:
        try:
            return column_named(name)
        except UsageError as error:
            raise ValueError(str(error)) from error

    @field_validator("columns")
    @classmethod
    def _columns_by_stem(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        found = []
        for name in names:
            metric, slash, stem = name.rpartition("/")
            if not (metric and stem):
                raise ValueError(f"{name!r}: expected METRIC/STEM, e.g. usdr/average")
            found.append(f"{cls._a_column(metric)}{slash}{stem}")
        return tuple(found)

    @model_validator(mode="after")
    def _makes_sense(self) -> Ablation:
        if bool(self.axes) == bool(self.variants):
            raise ValueError("give either axes (a product) or variants (a list)")
        if bool(self.trainer) == bool(self.system):
            raise ValueError("give either a trainer or a system (for variants without training)")
        if any(not levels for levels in self.axes.values()):
            raise ValueError("an axis has no levels")
        names = [v.name for v in expand(self)]
        for name in [self.control, *(p.variant for p in self.published)]:
            if name and name not in names:
                raise ValueError(f"no variant {name!r}{did_you_mean(name, names)}")
        trained = [k for v in expand(self) for k in v.settings if not k.startswith("spec.")]
        if self.system and trained:
            raise ValueError(f"{trained[0]!r} needs a trainer; without one only spec.* can vary")
        return self

    @property
    def draws(self) -> int:
        """Draws per song and row of a trained variant; without a trainer, the seeds are the
        draws.
        """
        return int(self.suite.get("draws", 1)) if self.trainer else 1

    def resolved_suite(self, systems: tuple[str, ...], **overrides: Any) -> Suite:
        """The suite with the variants as its systems."""
        values = {**self.suite, **{k: v for k, v in overrides.items() if v is not None}}
        return Suite.model_validate({**values, "systems": systems})


@dataclass(frozen=True)
class Variant:
    """A point of the grid."""

    name: str
    settings: Settings
    levels: dict[str, str] = field(default_factory=dict)
    """Axis to level; empty for a list of variants."""

    @property
    def trained(self) -> Settings:
        """The settings that the trainer gets."""
        return {k: v for k, v in self.settings.items() if not k.startswith("spec.")}

    @property
    def options(self) -> dict[str, str]:
        """Options of the system's spec."""
        return {
            key.removeprefix("spec."): str(value)
            for key, value in self.settings.items()
            if key.startswith("spec.")
        }


def expand(ablation: Ablation) -> list[Variant]:
    """Every variant, the base first."""
    if ablation.variants:
        return [Variant(n, {**ablation.base, **s}) for n, s in ablation.variants.items()]
    found = []
    for levels in itertools.product(*ablation.axes.values()):
        chosen = dict(zip(ablation.axes, levels, strict=True))
        settings = dict(ablation.base)
        for axis, level in chosen.items():
            settings |= ablation.axes[axis][level]
        found.append(Variant(", ".join(levels), settings, chosen))
    return found


def load(path: str | Path) -> Ablation:
    """Read a YAML file.

    Raises
    ------
    UsageError
        the file does not exist or is not a mapping, a key is unknown (with a suggestion), or the
        grid is empty.
    """
    values = read_mapping(Path(path))
    refuse_unknown(values, Ablation, str(path))
    refuse_unknown(values.get("suite") or {}, Suite, str(path), " under suite")
    return validated(Ablation, values, str(path), whole="file")
