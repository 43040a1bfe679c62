"""What ``import benchsep`` offers, and what it costs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchsep
from benchsep.errors import BenchsepError


@pytest.mark.parametrize("name", benchsep.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(benchsep, name) is not None


def test_the_function_run_is_not_hidden_by_a_module() -> None:
    import benchsep.runner.run

    assert callable(benchsep.run)
    assert benchsep.run is benchsep.runner.run.run


def test_importing_benchsep_loads_neither_pandas_nor_torch() -> None:
    code = "import benchsep, sys; print(*({'pandas', 'torch', 'numpy'} & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == ""


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        benchsep.nothing  # noqa: B018


WRONG = (None, 0, 1.5, True, b"x", [], {}, object(), np.zeros(3), "", "a\0b")


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__)
def test_what_is_no_path_and_no_spec_is_named(wrong: Any, tmp_path: Path) -> None:
    calls = [
        lambda: benchsep.load_run(wrong),
        lambda: benchsep.load_costs(wrong),
        lambda: benchsep.load_system(wrong),
        lambda: benchsep.run(out=wrong, systems=("mixture",)),
        lambda: benchsep.score(wrong, np.zeros(3)),
        lambda: benchsep.score(np.ones(3) / 9, wrong),
    ]
    if wrong is not None:  # no suite
        calls.append(lambda: benchsep.run(wrong, out=tmp_path / "run"))
    for number, call in enumerate(calls):
        if number >= 4 and number < 6 and isinstance(wrong, np.ndarray):
            continue  # a signal
        with pytest.raises(BenchsepError):
            call()
    assert not list(tmp_path.iterdir())
