"""What ``import benchsep`` offers, and what it costs."""

import subprocess
import sys

import pytest

import benchsep


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
