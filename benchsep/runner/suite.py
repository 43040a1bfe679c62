"""A suite describes what to run; it is read from YAML, overridden by the command line, and
validated.

An unknown key is an error with a suggestion. Without ``root``, a suite contains no local path, so
it can be shared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from benchsep._util.config import read_mapping, refuse_unknown, validated
from benchsep._util.paths import as_path
from benchsep.audio import STEMS
from benchsep.errors import UsageError
from benchsep.metrics.catalog import default_metrics
from benchsep.metrics.device import CPU, check_name
from benchsep.metrics.names import metrics_named
from benchsep.stems.sets import STEM_SETS, stems_asked_for, whole_set
from benchsep.systems.grammar import split_specs
from benchsep.systems.reference import REFERENCE_SYSTEMS
from benchsep.systems.spec import Spec


class Suite(BaseModel):
    """All settings of a run: what it computes, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The descriptions are the help texts of `benchsep run` and `benchsep plan`.
    dataset: str | None = Field(
        default=None, description="data set, e.g. musdb18hq, folder:PATH or clip"
    )
    root: str | None = Field(default=None, description="folder of the data set")
    split: str = Field(default="test", description="test, train, valid or all")
    mixture: Literal["file", "sum"] | None = Field(
        default=None,
        description="what the mixture is: the data set's file, or the sum of the stems",
    )
    systems: tuple[str, ...] = Field(default=(), description="systems, e.g. htdemucs,mine=dir:PATH")
    yardsticks: bool = Field(
        default=True, description="also score the mixture, the true stems and the oracles"
    )
    metrics: tuple[str, ...] = Field(
        # A factory, because the default needs an import of every metric, which would slow down
        # `benchsep --help`.
        default_factory=default_metrics,
        description="metrics of `benchsep list metrics`",
    )
    stem_set: Literal["vdbo", "vi", "vdbogp", "moises"] | None = Field(
        default=None,
        description="stem set: vdbo has four stems, vi has two (benchsep docs stems)",
    )
    stems: tuple[str, ...] = Field(
        default=STEMS,
        description="stems to score, or the name of a set; default: vocals, drums, bass, other; or "
        "vocals, instrumental if there are no more",
    )
    all_stems: bool = Field(
        default=False, description="also score other stems than vocals with speech metrics"
    )
    tracks: tuple[str, ...] = Field(default=(), description="only the track with this name")
    limit: int | None = Field(default=None, ge=1, description="only the first N tracks")
    seed: int = Field(default=0, description="seed of systems that sample")
    draws: int = Field(
        default=1,
        ge=1,
        description="number of estimates, each with another seed, of systems that sample",
    )
    device: str = Field(
        default="cpu", description="device of the systems: cpu, cuda, cuda:1 or mps"
    )
    metric_device: str = Field(
        default=CPU,
        description="device of BSSEval, MR-STFT and ViSQOL: cpu, cuda, cuda:1 or torch-cpu",
    )
    jobs: int = Field(default=0, ge=0, description="worker processes; 0: one for each core")
    inline: bool = Field(
        default=False,
        description="for debugging: run systems in this process; if one crashes, the run ends",
    )
    cluster: str | None = Field(
        default=None,
        description="run on a Dask cluster: tcp://HOST:PORT, file:SCHEDULER.json or local:N",
    )
    keep_estimates: Literal["none", "flac"] = Field(
        default="none", description="flac: keep the estimates in the run folder"
    )
    align: bool = Field(
        default=False, description="remove the delay of late estimates before scoring"
    )
    overwrite: Literal["never", "missing", "always"] = Field(
        default="missing",
        description="never: keep all stored results; missing: compute what is missing or "
        "outdated; always: compute all again",
    )
    fail_on_error: float | None = Field(
        default=None, ge=0, le=1, description="exit 1 if more than this share of jobs failed"
    )
    timeout: float | None = Field(
        default=None, gt=0, description="longest time for one track of one system, in seconds"
    )

    @field_validator(
        "dataset", "root", "split", "device", "metric_device", "cluster", mode="before"
    )
    @classmethod
    def _text(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, Path) else _name(value)

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
            raise ValueError(f"{device!r}: expected cpu, cuda, cuda:1 or mps")
        return device

    @field_validator("metric_device")
    @classmethod
    def _known_metric_device(cls, device: str) -> str:
        try:
            return check_name(device)
        except UsageError as error:
            raise ValueError(str(error)) from error

    @field_validator("systems", "metrics", "stems", "tracks", mode="before")
    @classmethod
    def _names(cls, value: Any, info: ValidationInfo) -> Any:
        """A list of names; a single text is one name, or several names with commas."""
        if isinstance(value, str):
            # A track's name may contain a comma.
            return (value,) if info.field_name == "tracks" else split_specs(value)
        if isinstance(value, Sequence):
            read = _system if info.field_name == "systems" else _name
            return tuple(map(read, value))
        _name(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _stems_of_a_set(cls, values: Any) -> Any:
        """A stem set without stems means all of its stems; so does its name in place of stems."""
        if not isinstance(values, Mapping):
            return values
        named = values.get("stem_set")
        stems = values.get("stems")
        only = stems
        if isinstance(stems, Sequence) and not isinstance(stems, str) and len(stems) == 1:
            only = stems[0]
        if not isinstance(named, str | None):
            return values
        if isinstance(only, str) and only in STEM_SETS and named in (None, only):
            named = only
        elif stems is not None or named not in STEM_SETS:
            return values
        return {**values, "stem_set": named, "stems": STEM_SETS[named].stems}

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if not metrics:
            raise ValueError("the list of metrics is empty; leave it out for the default metrics")
        try:
            return metrics_named(metrics)
        except UsageError as error:
            raise ValueError(str(error)) from error

    @field_validator("stems")
    @classmethod
    def _known_stems(cls, stems: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not stems:
            raise ValueError("the list of stems is empty; leave it out for all stems")
        return stems_asked_for(stems, info.data.get("stem_set"))

    @field_validator("cluster")
    @classmethod
    def _an_address(cls, cluster: str | None) -> str | None:
        if cluster and not re.fullmatch(r"local(:[1-9]\d*)?|file:.+|[a-z]+://\S+", cluster):
            raise ValueError(
                f"{cluster!r} is not a cluster; expected tcp://HOST:PORT of a Dask scheduler, "
                "file:SCHEDULER.json, or local:N for N processes here"
            )
        return cluster

    @model_validator(mode="after")
    def _metric_device_is_here(self) -> Suite:
        if self.cluster and self.metric_device.startswith("cuda"):
            raise ValueError(
                "the workers of a cluster compute metrics on their CPUs; leave out metric_device "
                f"{self.metric_device!r} or the cluster"
            )
        return self

    @property
    def whole_set(self) -> tuple[str, ...]:
        """All stems of the stem set of the run."""
        return whole_set(self.stems, self.stem_set)

    @property
    def names_stems(self) -> bool:
        """Whether the suite names its stems; otherwise they follow from the data set."""
        return bool({"stems", "stem_set"} & self.model_fields_set)

    @property
    def all_systems(self) -> tuple[str, ...]:
        """The systems of the suite, then the reference systems that are not among them."""
        extra = [y for y in REFERENCE_SYSTEMS if y not in self.systems] if self.yardsticks else []
        return (*self.systems, *extra)


def load_suite(path: str | Path | None = None, **overrides: Any) -> Suite:
    """Read a YAML suite and apply ``overrides``; an override that is ``None`` is ignored.

    Raises
    ------
    UsageError
        the file does not exist or is not a mapping, a key is unknown (with a suggestion), a value
        is invalid, or ``path`` is not a path.
    """
    values = {} if path is None else read_mapping(as_path(path, "the suite"))
    refuse_unknown(values, Suite, f"{path}")
    values.update({key: value for key, value in overrides.items() if value is not None})
    return validated(Suite, values, str(path or "the command line"))


def _system(value: Any) -> str:
    """The spec of a system as text, from a text or a mapping (:meth:`Spec.of`)."""
    if not (isinstance(value, Mapping) and "spec" in value):
        return _name(value)
    try:
        return str(Spec.of(value))
    except UsageError as error:
        raise ValueError(str(error)) from error


def _name(value: Any) -> str:
    """The value, if it is a text.

    Raises
    ------
    ValueError
        YAML parsed an unquoted name as another type.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        raise ValueError(f"{value} is a mapping, expected a name; leave out the space after the :")
    kind = "a truth value" if isinstance(value, bool) else "a number"
    if not isinstance(value, int | float):
        kind = "nothing" if value is None else type(value).__name__
    raise ValueError(f"{value} is {kind}, expected a name; write it in quotes")
