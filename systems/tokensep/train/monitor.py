"""Looking on while a training runs: a bar on a terminal, else lines; TensorBoard if it is there.

The CSV and JSON logs of a run are its record and do not depend on any of this. TensorBoard is
written (to ``tensorboard/`` in the run's folder) when the package can be imported:
``pip install 'benchsep[board]'``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any, TextIO


class Watch:
    """Of one process; ``active=False`` (every rank but the first) shows and writes nothing.

    Parameters
    ----------
    folder : of the run.
    step : where the run starts or goes on; what TensorBoard holds after it is dropped.
    stream : where a person may look (default: stderr).
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
        """After an optimiser step: ``progress`` of the whole run, 0 to 1, and what to show."""
        if not self.active:
            return
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self.bar is not None:
            self.bar.n = min(1.0, progress)
            self.bar.set_postfix_str(f"step {step} {text}", refresh=False)
            self.bar.update(0)
        elif step % 20 == 0:
            print(f"step {step} {text}", file=self.stream, flush=True)
        self._record("train", step, values)

    def valid(self, step: int, values: Mapping[str, Any]) -> None:
        """After a validation; lists are recorded per layer, mappings per name."""
        if not self.active:
            return
        text = f"valid {step}: nll {values['nll']} acc {values['accuracy']}"
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)
        flat: dict[str, float] = {}
        for name, value in values.items():
            if isinstance(value, list):
                flat |= {f"{name}/{i}": float(x) for i, x in enumerate(value)}
            elif isinstance(value, Mapping):
                flat |= {f"{name}/{k}": float(x) for k, x in value.items()}
            else:
                flat[name] = float(value)
        self._record("valid", step, flat)

    def _record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Leave the terminal and the event file whole."""
        if self.bar is not None:
            self.bar.close()
        if self.board is not None:
            self.board.close()
