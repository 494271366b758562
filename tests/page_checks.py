"""What must hold for any page of this project, seen in a real browser."""

import os
import re
import shutil
import time
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


PATIENCE = 20  # s


@contextmanager
def chromium(*arguments):
    """A headless Chromium: $CHROMIUM, or `chromium` on the path."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    # Not skipped: a page that nobody has opened is not tested.
    assert path, "there is no Chromium: `apt install chromium`, or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[*ARGUMENTS, *arguments], timeout=180_000
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser, path, *, width=1280, height=900, **options):
    """The page at `path` with the network cut; fails on leaving if it asked for more than itself,
    or wrote an error or a warning to the console."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, offline=True, **options
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    address = path.resolve().as_uri()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None,
    )
    try:
        page.goto(address)
        yield page
        elsewhere = [url[:80] for url in asked if not url.startswith((address, "data:", "blob:"))]
        assert not elsewhere, f"the page asks for {elsewhere}"
        assert not complaints, f"the console says {complaints}"
    finally:
        context.close()


def check_page(browser, path):
    """Assert what every built page promises.

    Every player has a duration, plays, and keeps its place when the version changes; every picture
    is there; nothing comes from elsewhere; the console is silent; a narrow screen does not scroll
    sideways; without scripts the browser's own controls play.

    Args:
        browser: of `chromium()`.
        path: Path of index.html.

    Returns:
        Number of players.
    """
    with opened(browser, path) as page:
        check_pictures(page)
        players = page.locator(".player")
        assert not page.locator(".player:not(.live)").count(), "a player did not start"
        # A picture that occurs again is filled in by the player, from where it stands first.
        blank = page.locator("img.player-picture").evaluate_all(
            "pictures => pictures.filter(p => p.naturalWidth < 2).map(p => p.alt)"
        )
        assert not blank, f"pictures that stayed blank: {blank}"
        for index in range(players.count()):
            check_player(players.nth(index))
        count = players.count()
        assert count, "the page has no player"
    for width in (1024, 360):
        with opened(browser, path, width=width) as page:
            check_width(page)
    with opened(browser, path, java_script_enabled=False) as page:
        check_without_scripts(page)
    return count


def check_pictures(page):
    page.wait_for_load_state()
    broken = page.locator("img").evaluate_all(
        "pictures => pictures.filter(p => !p.complete || !p.naturalWidth).map(p => p.alt)"
    )
    assert not broken, f"pictures that did not load: {broken}"
    silent = page.locator("img:not([alt]), img[alt='']").count()
    assert not silent, f"{silent} pictures without a description"


def check_player(player):
    """Play a player, switch through its versions, pause it."""
    name = player.get_attribute("aria-label")
    shown = player.locator(".player-time").inner_text()
    assert re.fullmatch(r"0:00\.0 / \d+:\d\d\.\d", shown), f"{name}: shows {shown!r}"
    seconds = float(player.get_attribute("data-seconds"))
    assert seconds > 0, f"{name}: no duration"
    # Round and round, so that a slow machine does not come to the end of a short clip.
    player.get_by_role("button", name="loop", exact=True).click()
    player.get_by_role("button", name="play").click()
    wait(player, "p => p.player.transport.voices.length > 0 && p.player.transport.position > 0")
    lengths = player.evaluate("p => p.player.transport.voices.map(v => v.source.buffer.duration)")
    # A decoder may add or lose a sample at the browser's rate.
    assert all(abs(each - seconds) < 0.001 for each in lengths), f"{name}: {lengths}, not {seconds}"
    loudest = player.evaluate(
        "p => p.player.transport.voices.map(v =>"
        " v.source.buffer.getChannelData(0).reduce((most, each) => Math.max(most, each), 0))"
    )
    assert all(loudest), f"{name}: a version is silent: {loudest}"
    buttons = player.locator(".player-buttons button")
    for index in range(buttons.count()):
        buttons.nth(index).click()
        check_selected(player, index)
    player.get_by_role("button", name="pause").click()
    assert not player.evaluate("p => p.player.transport.playing"), f"{name}: does not pause"


def check_selected(player, index):
    """One version is pressed and seen, and the same one is heard."""
    found = player.evaluate(
        """p => ({
            pressed: [...p.querySelectorAll(".player-buttons button")].map(
                each => each.getAttribute("aria-pressed") === "true"),
            seen: [...p.querySelectorAll(".player-version")].map(each => each.checkVisibility()),
            heard: p.player.transport.voices.map(each => each.level),
        })"""
    )
    for state, each in found.items():
        wanted = [place == index for place in range(len(each))]
        assert each == wanted, f"{state}: {each}, not {wanted}"


def check_width(page):
    page.wait_for_load_state()
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1], f"{widths[0]} pixels wide on a screen of {widths[1]}"


def check_without_scripts(page):
    wrong = page.locator(".player-version").evaluate_all(
        """versions => versions.flatMap(version => {
            const native = version.querySelector(".player-native"), name = version.textContent;
            const stored = native && native.getAttribute("href");  // elsewhere on the page
            return [
                !version.checkVisibility() && `${name}: is not seen`,
                !(native && native.checkVisibility()) && `${name}: has no control`,
                !(native && (native.ariaLabel || native.innerText)) && `${name}: has no name`,
                stored && !document.querySelector(`audio${stored}`) && `${name}: has no sound`,
            ].filter(Boolean);
        })"""
    )
    assert not wrong, wrong


def playing(player):
    """Press play and wait until the player moves."""
    player.get_by_role("button", name="play", exact=True).click()
    wait(
        player,
        """p => {
            const { transport } = p.player;
            return transport.voices.length && transport.context.currentTime > transport.started;
        }""",
    )


def check_keeps_the_position(player, action, seconds):
    """Do something to a player that goes round `seconds`: the clip moves by the time that passes.

    The clock may tick between two readings, so the time is read around each position.
    """
    moved, least, most = player.evaluate(
        """(p, action) => {
            const { transport } = p.player, voice = transport.voices[0];
            const readings = () => [
                transport.context.currentTime, transport.position, transport.context.currentTime
            ];
            const before = readings();
            action.key
                ? p.dispatchEvent(new KeyboardEvent("keydown", { key: action.key, bubbles: true }))
                : transport.select(action.select);
            const after = readings();
            if (!transport.playing || transport.voices[0] !== voice) throw Error("started again");
            return [after[1] - before[1], after[0] - before[2], after[2] - before[0]];
        }""",
        action,
    )
    assert any(least - 1e-6 <= each <= most + 1e-6 for each in (moved, moved + seconds)), (
        f"moved by {moved} s in {least} to {most} s"
    )


def wait(locator, condition, seconds=None):
    """Wait until a condition on an element, as a JavaScript function, holds.

    The element is looked up anew each time: in a notebook another may have taken its place.
    """
    seconds = seconds or PATIENCE
    end = time.monotonic() + seconds
    while not locator.evaluate(condition):
        assert time.monotonic() < end, f"not within {seconds} s: {condition}"
        locator.page.wait_for_timeout(20)
