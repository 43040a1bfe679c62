"""Screenshots of the listening page for the README: wide, and narrow with dark colours.

    python -m benchmarks.page_picture runs/demo-report/index.html docs/images

Needs Playwright and a Chromium on the path (Debian: chromium). Writes ``listening-page.png`` (the
first song, playing its second signal) and ``listening-page-360.png`` (the tables, 360 px, dark).
Look at both before committing them.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from PIL import Image


def main(page: Path, out: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no chromium on the path (Debian: apt-get install chromium)")
    address = page.resolve().as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        wide = browser.new_page(viewport={"width": 1200, "height": 900})
        wide.goto(f"{address}#/song/0/vocals")
        wide.wait_for_selector("#play:not([disabled])", timeout=120_000)
        wide.click("#play")
        wide.keyboard.press("2")
        wide.wait_for_timeout(1500)
        wide.screenshot(path=str(out / "listening-page.png"))
        context = browser.new_context(
            viewport={"width": 360, "height": 740}, color_scheme="dark", device_scale_factor=2
        )
        narrow = context.new_page()
        narrow.goto(address)
        narrow.wait_for_selector(".scores")
        narrow.screenshot(path=str(out / "listening-page-360.png"))
        browser.close()
    for name in ("listening-page.png", "listening-page-360.png"):
        with Image.open(out / name) as opened:
            picture = opened.convert("RGB").quantize(256)  # at 64, families lose their colours
        picture.save(out / name, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path, help="the report's index.html")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    options = parser.parse_args()
    main(options.page, options.out)
