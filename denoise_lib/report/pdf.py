"""The built page as a PDF, printed by a headless Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from denoise_lib.errors import UserError
from denoise_lib.files import atomic
from denoise_lib.paths import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 300  # s
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pdf-header-footer",
)


def build(root: Path = ROOT) -> Path:
    """Print report/index.html to report/report.pdf; returns its path.

    The browser is ``$CHROMIUM``, or the first of ``BROWSERS`` on the path.

    Args:
        root: The clone whose page is printed.

    Raises:
        UserError: There is no page, no browser, or the browser printed nothing.
    """
    page = root / "report" / "index.html"
    if not page.exists():
        raise UserError(f"{page} does not exist: run `make report` first")
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise UserError(
            "a PDF needs Chromium: install it (Debian: apt install chromium) or set CHROMIUM to "
            "its path"
        )
    path = page.with_name("report.pdf")
    with atomic(path) as temporary, tempfile.TemporaryDirectory() as folder:
        paper = Path(folder) / "paper.html"
        paper.write_text(for_paper(page.read_text(encoding="utf-8")), encoding="utf-8")
        _print(browser, paper, temporary, str(Path(folder) / "profile"))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return path


def for_paper(text: str) -> str:
    """The page with the narrow version of each figure, which fits one of paper's two columns.

    A browser that prints does not choose among versions anew, so this is done before.
    """
    text = text.replace("<html ", '<html class="paper" ', 1)
    figure = r'(<figure class="figure"><picture><source) media="[^"]*"'
    return re.sub(figure, r'\1 media="all"', text)


def _print(browser: str, page: Path, target: Path, profile: str) -> None:
    """Let the browser print a page, with a profile folder of its own."""
    flags = [*FLAGS, f"--user-data-dir={profile}", f"--print-to-pdf={target}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root with it
    command = [browser, *flags, page.resolve().as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except OSError as error:
        raise UserError(f"Chromium cannot be started: {error}") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{browser} did not print {page} within {PATIENCE} s") from None
    if done.returncode or not target.exists() or not target.stat().st_size:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise UserError(f"{browser} did not print {page}: {last}")
