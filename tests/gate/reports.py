"""Reports of the gate made by hand, with every kind of cell, mean and sentence."""

from __future__ import annotations

from benchsep.gate.cells import Group
from benchsep.gate.check import DriftReport, GroupRow, Row
from benchsep.gate.tolerance import Noise

LOST = "ok -> failed: " + "y" * 60
ROWS = (
    Row("one", "song", "vocals", 0, "visqol", 3.0, 3.004, 0.004, 0.01, "ok"),
    Row("one", "song", "drums", 0, "visqol", 3.0, 2.5, -0.5, 0.01, "drifted"),
    Row("one", "song", "bass", 0, "visqol", 3.0, 3.5, 0.5, 0.01, "improved"),
    Row("t|o", "<x>\n&", "vocals", 1, "usdr", 1.0, None, None, None, "missing", LOST),
)
GROUPS = (
    GroupRow("one", "drums", "visqol", 2, -0.5, 0.005, 0.006, "declared", "drifted"),
    GroupRow("one", "vocals", "visqol", 2, 0.004, 0.005, 0.007, "declared", "ok"),
    GroupRow("one", "bass", "visqol", 1, 0.5, 0.02, 0.03, "measured", "improved"),
)
REASONS = ("1 cells beyond tolerance: 50%\nof\rit", "second")
FAILED = DriftReport(ROWS, GROUPS, REASONS, ("better",), ("seed 0 -> 1",), 0.05, 3)
PASSED = DriftReport(ROWS[:1], GROUPS[1:2], (), (), (), 0.01, 1)
NOISE = {
    Group("b", "vocals", "visqol"): Noise(0.123456, 12, 3, 0.5),
    Group("a", "drums", "usdr"): Noise(0.0, 4, 2, 1e-7),
}
