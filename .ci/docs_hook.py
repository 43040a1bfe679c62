"""A hook of mkdocs: pages link to files outside ``docs/`` as they do in the repository.

Reports, CONTRIBUTING, CHANGELOG, README and LICENSE become pages of the site, below
``repository/``. A link to any other file of the repository (source code) becomes plain text.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = "repository"
SHOWN = ("CONTRIBUTING.md", "CHANGELOG.md", "README.md", "LICENSE")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the files outside ``docs/`` that pages link to, and a page for each notebook."""
    reports = sorted((ROOT / "reports").rglob("*"))
    for path in [*reports, *(ROOT / name for name in SHOWN)]:
        if path.is_file():
            name = path.relative_to(ROOT).as_posix()
            if name in SHOWN:
                name = name.removesuffix(".md").lower() + ".md"
            uri = f"{OUTSIDE}/{name}"
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        uri = file.src_uri.removesuffix(".ipynb") + ".md"
        files.append(File.generated(config, uri, content=notebook(Path(file.abs_src_path))))
    return files


def notebook(path: Path) -> str:
    """The cells of a notebook as Markdown, without outputs."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The page with its links to files outside ``docs/`` set to the pages of the site."""
    source = Path(page.file.abs_src_path or ROOT / "docs" / page.file.src_uri)
    of = {os.path.realpath(file.abs_src_path): file.src_uri for file in files if file.abs_src_path}

    def link(match: re.Match[str]) -> str:
        picture, text, address = match.groups()
        parts = urlsplit(address)
        if parts.scheme or not parts.path:
            return match[0]
        target = os.path.realpath(source.parent / parts.path)
        if target in of:
            here = posixpath.dirname(page.file.src_uri)
            relative = posixpath.relpath(of[target], here or ".")
            fragment = f"#{parts.fragment}" if parts.fragment else ""
            return f"{picture}[{text}]({relative}{fragment})"
        if Path(target).is_relative_to(ROOT) and Path(target).exists():
            return text  # source code: it is not part of the site
        return match[0]  # mkdocs reports it as a dead link

    return LINK.sub(link, markdown)
