"""Progress of a training: a bar on a terminal, lines elsewhere, and TensorBoard if installed.

The CSV and JSON logs of a run do not depend on this module. TensorBoard files are written to
``tensorboard/`` in the run's folder when the package can be imported:
``pip install 'benchsep[board]'``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any, TextIO

LINE_EVERY = 20
"""Steps between two lines without a terminal."""


class TrainingMonitor:
    """Shows the progress of one process.

    Parameters
    ----------
    folder : of the run.
    step : first step of this process; later TensorBoard records are dropped.
    active : False on all ranks except 0: nothing is shown or written.
    stream : where lines or the bar go (default: stderr).
    """

    def __init__(
        self, folder: Path, step: int, *, active: bool = True, stream: TextIO | None = None
    ) -> None:
        self.stream = stream or sys.stderr
        self.active = active
        self.bar: Any = None
        self.board: Any = None
        if not active:
            return
        if self.stream.isatty():
            from tqdm import tqdm

            form = "{percentage:5.1f}% {bar} {elapsed}<{remaining} {postfix}"
            self.bar = tqdm(total=1.0, bar_format=form, file=self.stream, dynamic_ncols=True)
        if util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def step(self, step: int, progress: float, values: Mapping[str, float]) -> None:
        """Show an optimizer step: ``progress`` of the whole run, 0 to 1, and named values."""
        if not self.active:
            return
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self.bar is not None:
            self.bar.n = min(1.0, progress)
            self.bar.set_postfix_str(f"step {step} {text}", refresh=False)
            self.bar.update(0)
        elif step % LINE_EVERY == 0:
            print(f"step {step} {text}", file=self.stream, flush=True)
        self._record("train", step, values)

    def valid(self, step: int, values: Mapping[str, Any]) -> None:
        """Show a validation: its scalars; TensorBoard also gets lists and mappings, by element."""
        if not self.active:
            return
        scalars = {k: float(v) for k, v in values.items() if isinstance(v, int | float)}
        shown = " ".join(f"{k} {v:.4g}" for k, v in scalars.items() if "_" not in k)
        text = f"valid {step}: {shown}"
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)
        for name, value in values.items():
            if isinstance(value, list):
                scalars |= {f"{name}/{i}": float(x) for i, x in enumerate(value)}
            elif isinstance(value, Mapping):
                scalars |= {f"{name}/{k}": float(x) for k, x in value.items()}
        self._record("valid", step, scalars)

    def _record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Close the bar and the event file."""
        if self.bar is not None:
            self.bar.close()
        if self.board is not None:
            self.board.close()
