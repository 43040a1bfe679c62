"""Write the demo's first tables into README.md: ``python -m benchmarks.readme_table``."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START = "<!-- demo table: written by `make readme` from reports/demo -->\n"
SHOWN = 2  # the overview and ViSQOL per stem; the file holds the rest
END = "<!-- end of demo table -->\n"


def with_table(readme: str, table: str) -> str:
    """``readme`` with what stands between the marks replaced by ``table``."""
    head, _, rest = readme.partition(START)
    _, end, tail = rest.partition(END)
    if not end:
        raise SystemExit("README.md has lost its marks for the demo table")
    return f"{head}{START}{table.strip()}\n{END}{tail}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    tables = (ROOT / "reports" / "demo" / "tables.md").read_text(encoding="utf-8").split("\n### ")
    table = "\n### ".join(tables[:SHOWN])
    path.write_text(with_table(path.read_text(encoding="utf-8"), table), encoding="utf-8")
