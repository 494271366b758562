"""Photograph the published page for README: ``python pics/photograph.py`` rewrites page-*.webp.

Takes the title of docs/index.html, the drawing of all results and a player, light and dark, in a
headless Chromium (``$CHROMIUM``, or `chromium` on the path). A page elsewhere is given as the
argument.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).resolve().parent
SIZE = (1180, 1000)  # pixels of the window
SHOWN = 900  # pixels of the picture's width
PARTS = ("#results .figure", "#listen .player")  # what is photographed, one above the other
MOST_BYTES = 150_000


def photograph(browser: Browser, page: Path, scheme: str) -> Image.Image:
    """The parts of the page, one above the other.

    Args:
        browser: A Chromium.
        page: Path of index.html.
        scheme: "light" or "dark".
    """
    view = browser.new_page(
        viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme=scheme, device_scale_factor=1.5
    )
    view.goto(page.resolve().as_uri())
    view.wait_for_load_state()
    pictures = [
        Image.open(io.BytesIO(view.locator(part).first.screenshot())).convert("RGB")
        for part in ("header h1", *PARTS)
    ]
    paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
    view.close()
    return _stacked(pictures, paper)


def _stacked(pictures: list[Image.Image], paper: str) -> Image.Image:
    gap, tone = 36, tuple(int(each) for each in paper.strip("rgb()").split(",")[:3])
    width = max(each.width for each in pictures) + 2 * gap
    height = sum(each.height + gap for each in pictures) + gap
    sheet, top = Image.new("RGB", (width, height), tone), gap
    for each in pictures:
        sheet.paste(each, (gap, top))
        top += each.height + gap
    return sheet.resize((SHOWN, round(height * SHOWN / width)), Image.Resampling.LANCZOS)


def write(picture: Image.Image, path: Path) -> None:
    """Write a WebP that is at most MOST_BYTES long."""
    for quality in range(90, 20, -10):
        picture.save(path, "WEBP", quality=quality, method=6)
        if path.stat().st_size <= MOST_BYTES:
            return


def main(page: Path) -> None:
    """Write page-light.webp and page-dark.webp."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            target = FOLDER / f"page-{scheme}.webp"
            write(photograph(browser, page, scheme), target)
            print(f"{target}: {target.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER.parent / "docs" / "index.html")
