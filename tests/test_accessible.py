"""axe-core on the page: no violation, light and dark, wide and narrow, and with everything open."""

from pathlib import Path

import pytest
from page_checks import opened, wait

pytestmark = pytest.mark.slow

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
FOLDS = "folds => folds.forEach(fold => { fold.open = true; })"


def violations(page):
    """What axe finds, with the elements: {rule: [markup]}."""
    # Not skipped: `make test` fetches it.
    assert AXE.exists(), "axe-core is not there: run `make test`, or `npm ci` in tests/"
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return {
        f"{rule['id']}: {rule['help']}": [node["html"][:200] for node in rule["nodes"]]
        for rule in found
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_violation(browser, path, scheme, width):
    with opened(browser, path, width=width, color_scheme=scheme) as page:
        assert not violations(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_with_everything_open_and_on(browser, path, scheme):
    with opened(browser, path, color_scheme=scheme) as page:
        page.locator(".fold").evaluate_all(FOLDS)
        player, blind = page.locator("#listen .player"), page.locator("#blind-test")
        for tool in ("match loudness", "difference", "loop from here"):
            player.get_by_role("button", name=tool).click()
        wait(player, "p => p.classList.contains('matched')")
        blind.locator("[data-part=x]").click()
        blind.locator("[data-part=is-a]").click()
        page.locator("table.glance .sort").first.click()
        assert not violations(page)


def test_no_violation_without_the_page_s_scripts_running(browser, path):
    """As it is before scripts run: the markup alone, with the browser's own controls."""
    with opened(browser, path) as page:
        page.evaluate(
            """() => {
                const players = document.querySelectorAll('.player');
                players.forEach((p) => p.classList.remove('live'));
                document.querySelectorAll('.player-version').forEach((v) => { v.hidden = false; });
            }"""
        )
        assert not violations(page)


def test_axe_finds_what_is_broken(browser, path, tmp_path):
    broken = tmp_path / "index.html"
    text = path.read_text(encoding="utf-8").replace("<h1>", "<button></button><h1>", 1)
    broken.write_text(text, encoding="utf-8")
    with opened(browser, broken) as page:
        assert any(rule.startswith("button-name") for rule in violations(page))
