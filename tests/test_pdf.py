"""The page in print: what the paper shows, the PDF, and what is said where there is no Chromium."""

import re
import subprocess
import sys

import pytest
from page_checks import opened
from page_fixture import shared_clone

from denoise_lib.errors import UserError
from denoise_lib.paths import ROOT
from denoise_lib.report import pdf


@pytest.mark.slow
def test_print_shows_versions_and_scores_and_no_controls(browser, path):
    with opened(browser, path, color_scheme="dark") as page:
        page.emulate_media(media="print")
        player = page.locator("#listen .player")
        for version in player.locator(".player-version").all():
            assert version.locator(".player-picture").is_visible()
            assert version.locator("figcaption").is_visible()
            assert "wSDR" in version.locator(".player-scores").inner_text()
        assert not page.locator("button:visible:not(.sort), input:visible, audio:visible").count()
        assert not page.locator(".fold:not([open]):visible, pre:visible").count()
        assert not page.locator(".contents").is_visible()
        assert not page.locator("#blind-test").is_visible()
        # On white, in dark ink, also for a reader of dark pages.
        paper, ink = page.locator("body").evaluate(
            "body => [getComputedStyle(body).backgroundColor, getComputedStyle(body).color]"
        )
        assert paper == "rgb(255, 255, 255)"
        assert all(int(part) < 60 for part in ink[4:-1].split(","))


@pytest.mark.slow
def test_pdf_of_the_page(tmp_path, path):
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_bytes(path.read_bytes())
    printed = pdf.build(tmp_path)
    assert printed == report / "report.pdf"
    data = printed.read_bytes()
    assert data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    assert data.count(b"/Type /Page\n") > 3
    assert sorted(each.name for each in report.iterdir()) == ["index.html", "report.pdf"]


@pytest.mark.slow
def test_the_published_page_takes_twenty_sheets(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_bytes((ROOT / "docs" / "index.html").read_bytes())
    assert 10 < pdf.build(tmp_path).read_bytes().count(b"/Type /Page\n") <= 20


def test_on_paper_figures_are_as_narrow_as_a_column(path):
    page = path.read_text(encoding="utf-8")
    paper = pdf.for_paper(page)
    assert '<html class="paper" lang="en">' in paper and len(page) > 10_000
    figures = re.findall(r'<figure class="figure"><picture><source media="([^"]*)"', page)
    assert figures and set(figures) == {"(max-width: 34rem)"}
    assert paper.count('<source media="all"') == len(figures)


def test_nothing_on_paper_is_smaller_than_nine_points(browser, path, tmp_path):
    paper = tmp_path / "paper.html"
    paper.write_text(pdf.for_paper(path.read_text(encoding="utf-8")), encoding="utf-8")
    with opened(browser, paper) as page:
        page.emulate_media(media="print")
        sizes = page.evaluate(
            """() => [...document.querySelectorAll("main *")]
                .filter((e) => e.offsetParent && [...e.childNodes].some(
                    (node) => node.nodeType === 3 && node.data.trim()))
                .filter((e) => !e.closest("svg, math"))
                .map((e) => [0.75 * parseFloat(getComputedStyle(e).fontSize), e.outerHTML])"""
        )
    assert len(sizes) > 50
    assert not [element for points, element in sizes if points < 8.99]


def test_no_page_no_pdf(tmp_path):
    with pytest.raises(UserError, match="run `make report` first"):
        pdf.build(tmp_path)


def test_without_chromium_one_line_says_so(monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="needs Chromium: install it") as caught:
        pdf.build(shared_clone())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [("echo no display >&2; exit 1", "no display"), ("exit 0", "exit status 0")],
)
def test_a_browser_that_fails_is_quoted(tmp_path, monkeypatch, body, message):
    browser = tmp_path / "chromium"
    browser.write_text(f"#!/bin/sh\n{body}\n")
    browser.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(browser))
    with pytest.raises(UserError, match=message):
        pdf.build(shared_clone())
    assert not (shared_clone() / "report" / "report.pdf").exists()


def test_the_command_line_gives_one_line(tmp_path):
    code = (
        "import sys; from pathlib import Path; from denoise_lib import cli; "
        "from denoise_lib.report import pdf; "
        f"pdf.build.__defaults__ = (Path({str(tmp_path)!r}),); cli.main(['pdf'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("denoise: ") and done.stderr.count("\n") == 1
