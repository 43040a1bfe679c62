"""Write ``tests/golden/gate/``: reports of the gate in every format, to be read before a commit.

python -m tests.golden.make_gate
"""

from __future__ import annotations

from pathlib import Path

from benchsep.gate.render import FORMS, render, render_noise
from tests.gate.reports import FAILED, NOISE, PASSED

FOLDER = Path(__file__).parent / "gate"


def texts() -> dict[str, str]:
    """File name to the text that it holds."""
    found = {f"failed.{form}": render(FAILED, form) for form in FORMS}
    found |= {f"passed.{form}": render(PASSED, form) for form in ("terminal", "junit", "github")}
    return found | {f"noise.{form}": render_noise(NOISE, form) for form in ("terminal", "csv")}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
