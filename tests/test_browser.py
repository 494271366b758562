"""The page and the player in a real browser, with the network cut."""

import page_checks
import pytest
from page_checks import (
    check_keeps_the_position,
    check_page,
    check_selected,
    check_width,
    opened,
    playing,
    wait,
)
from page_fixture import Scene, shared_clone

from denoise_lib.display.player import compare

pytestmark = pytest.mark.slow

POSITION = "p => p.player.transport.position"


def test_the_page_holds_what_every_page_promises(browser, path):
    assert check_page(browser, path) == 6


@pytest.mark.parametrize(
    ("what", "old", "new", "complaint"),
    [
        ("picture", "data:image/webp;base64,", "data:image/webp;base64,AAAA", "did not load"),
        ("request", "<h1>", '<img alt="x" src="https://example.invalid/x.png"><h1>', "load|asks"),
        ("script", "<script>", "<script>undefinedFunction();", "did not start"),
        ("sound", "data:audio/flac;base64,", "data:audio/flac;base64,AAAA", "not within"),
        ("width", "<h1>", '<h1 style="width: 2000px; max-width: none">', "wide on a screen"),
    ],
)
def test_the_check_finds_what_is_broken(
    browser, path, tmp_path, monkeypatch, what, old, new, complaint
):
    monkeypatch.setattr(page_checks, "PATIENCE", 5)  # what is broken stays so
    broken = tmp_path / "index.html"
    broken.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(Exception, match=complaint):
        check_page(browser, broken)


def test_switching_keeps_the_position(player):
    """The versions run on in step."""
    player.get_by_role("button", name="loop", exact=True).click()
    playing(player)
    seconds = float(player.get_attribute("data-seconds"))
    for key in "2345121":
        check_keeps_the_position(player, {"key": key}, seconds)
        check_selected(player, int(key) - 1)


def test_a_switch_fades_instead_of_clicking(player):
    """Rendered offline, the output has no step larger than the signals themselves have."""
    largest = player.evaluate(
        """async (p) => {
            const { Transport } = window.denoisePlayers;
            const rate = 48000, n = rate;
            const context = new OfflineAudioContext(1, n, rate);
            const tone = (phase) => {
                const buffer = context.createBuffer(1, n, rate);
                const samples = buffer.getChannelData(0);
                samples.forEach((_, i) => {
                    samples[i] = Math.sin(phase + 2 * Math.PI * 100 * i / rate);
                });
                return buffer;
            };
            const transport = new Transport([], 1, () => {}, context);
            transport.started = 0;
            transport.voices = [tone(0), tone(Math.PI)].map((b, i) => transport.voice(b, i));
            context.suspend(0.5).then(() => { transport.select(1); context.resume(); });
            const output = (await context.startRendering()).getChannelData(0);
            const steps = output.slice(480).map((x, i) => Math.abs(x - output[i + 479]));
            return Math.max(...steps);
        }"""
    )
    own = 2 * 3.1416 * 100 / 48000  # of the tone
    assert largest < own + 2 / (0.005 * 48000) * 1.1  # and two full swings over the fade


def test_keys(page, player):
    button = player.get_by_role("button", name="clean", exact=True)
    button.focus()
    page.keyboard.press("3")
    check_selected(player, 2)
    page.keyboard.press("9")  # there is no ninth version
    check_selected(player, 2)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert player.evaluate(POSITION) == pytest.approx(1.0)
    page.keyboard.press("ArrowLeft")
    assert player.evaluate(POSITION) == pytest.approx(0.5)
    page.keyboard.press("l")
    assert (
        player.get_by_role("button", name="loop", exact=True).get_attribute("aria-pressed")
        == "true"
    )
    assert player.evaluate("p => p.player.transport.loop")
    # On a version that is not chosen, space presses the button like any other.
    page.keyboard.press(" ")
    check_selected(player, 0)
    assert not player.evaluate("p => p.player.transport.playing")
    # On the chosen one it plays and pauses.
    page.keyboard.press(" ")
    wait(player, "p => p.player.transport.position > 0.5")
    page.keyboard.press(" ")
    assert not player.evaluate("p => p.player.transport.playing")
    page.keyboard.press("Home")
    assert player.evaluate(POSITION) == 0


def test_keys_mean_nothing_outside_a_player(page, player):
    page.locator("a[href='#results']").focus()
    page.keyboard.press("2")
    check_selected(player, 0)


def test_click_on_the_spectrogram_seeks(player):
    screen = player.locator(".player-screen:visible")
    screen.scroll_into_view_if_needed()
    box = screen.bounding_box()
    screen.click(position={"x": box["width"] * 0.6, "y": 30})
    seconds = float(player.get_attribute("data-seconds"))
    assert player.evaluate(POSITION) == pytest.approx(0.6 * seconds, abs=0.01 * seconds)
    head = player.locator(".player-head").bounding_box()
    assert head["x"] - box["x"] == pytest.approx(0.6 * box["width"], abs=2)
    slider = player.get_by_role("slider", name="position")
    assert float(slider.input_value()) == pytest.approx(0.6 * seconds, abs=0.02)


def test_seeking_again_and_again_keeps_playing(player):
    player.get_by_role("button", name="loop", exact=True).click()  # it must not end meanwhile
    playing(player)
    player.evaluate("p => { for (const t of [0.2, 0.4, 0.6, 0.8]) p.player.transport.seek(t); }")
    wait(player, "p => p.player.transport.voices.length > 0 && p.player.transport.position > 0.8")


def test_the_end_stops_and_play_starts_over(player):
    playing(player)
    player.evaluate("p => p.player.transport.seek(p.player.transport.seconds - 0.1)")
    wait(player, "p => !p.player.transport.playing")
    assert player.get_by_role("button", name="play").is_visible()
    assert player.evaluate(POSITION) == pytest.approx(float(player.get_attribute("data-seconds")))
    # Read in the page as soon as it plays: a busy machine may take its time to ask.
    position = player.evaluate(
        """async (p) => {
            const { transport } = p.player;
            await transport.play();
            return transport.position;
        }"""
    )
    assert position < 1


def test_a_loop_goes_round(player):
    player.get_by_role("button", name="loop", exact=True).click()
    playing(player)
    player.evaluate("p => p.player.transport.seek(p.player.transport.seconds - 0.2)")
    wait(player, "p => p.player.transport.voices.length && p.player.transport.position < 1")
    assert player.evaluate("p => p.player.transport.playing")


def test_one_player_at_a_time(page, player):
    other = page.locator(".player").nth(2)
    playing(player)
    playing(other)
    assert not player.evaluate("p => p.player.transport.playing")


def test_a_sound_stored_once_plays_in_every_player(page):
    stored = page.locator("audio").evaluate_all("all => all.map(a => a.dataset.sound)")
    assert len(stored) == len(set(stored))
    elsewhere = page.locator("a.player-native").count()
    assert elsewhere > 0, "the fixture has players that share sounds"


@pytest.mark.parametrize("width", [320, 360, 768, 1056, 1280, 1920])
def test_no_sideways_scrolling(browser, path, width):
    with opened(browser, path, width=width) as page:
        check_width(page)
        page.locator(".fold").evaluate_all("folds => folds.forEach(fold => { fold.open = true; })")
        check_width(page)


def test_without_scripts_the_browser_plays(browser, path):
    with opened(browser, path, java_script_enabled=False) as page:
        assert page.locator(".player button").count() == 0
        sound = page.locator("audio").first
        assert sound.is_visible() and sound.get_attribute("controls") is not None
        assert page.locator(".player-picture").first.is_visible()
        assert page.locator(".contents a").first.is_visible()


def test_the_keyboard_alone_reaches_everything(browser, path):
    with opened(browser, path) as page:
        page.locator(".fold").evaluate_all("folds => folds.forEach(fold => { fold.open = true; })")
        # Of buttons that exclude each other the chosen one is reached, and from it the others.
        kinds = "a[href], button, input, select, summary, [tabindex='0']"
        visible = f":is({kinds}):not([type=radio]:not(:checked))"
        wanted = page.locator(visible).evaluate_all(
            """all => {
                const seen = all.filter(e => e.checkVisibility());
                seen.forEach((e, i) => { e.dataset.stop = i; });
                return seen.length;
            }"""
        )
        reached, names = set(), []
        for _ in range(2 * wanted):
            page.keyboard.press("Tab")
            stop, name = page.evaluate(
                """() => {
                    const e = document.activeElement;
                    const words = e.labels?.length ? e.labels[0] : e;
                    const name = e.getAttribute("aria-label") ?? words.textContent.trim();
                    return [e.dataset.stop, name];
                }"""
            )
            if stop is not None:
                reached.add(int(stop))
                names.append(name)
        missing = set(range(wanted)) - reached
        assert not missing, [page.locator(f"[data-stop='{stop}']").inner_html() for stop in missing]
        assert all(names), "something that takes the focus has no name"


def test_contents_mark_the_section_that_is_read(page):
    current = page.locator(".contents [aria-current]")
    for anchor in ("#03_wavenet", "#results", "#downloads"):
        page.locator(f".contents a[href='{anchor}']").click()
        page.wait_for_function(
            "a => document.querySelector('.contents [aria-current]')?.hash === a", arg=anchor
        )
        assert current.count() == 1


def test_contents_fold_away_on_a_narrow_screen(browser, path):
    with opened(browser, path, width=390) as page:
        link = page.locator(".contents a[href='#listen']")
        assert not link.is_visible()
        page.locator(".contents summary").click()
        link.click()
        assert not link.is_visible()


def test_downloads_work_from_disk(page):
    with page.expect_download() as started:
        page.get_by_role("link", name="results.json").click()
    download = started.value
    assert download.suggested_filename == "results.json"
    built = shared_clone() / "report" / "results.json"
    assert download.path().read_text().strip() == built.read_text().strip()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(browser, path, scheme):
    """Contrast of text and paper, WCAG's formula: 7 for the text, 4.5 for what is quieter."""
    with opened(browser, path, color_scheme=scheme) as page:
        paper = tones(page, "body", "backgroundColor")
        assert (sum(paper) > 384) == (scheme == "light")
        for selector, least in ((".findings", 7), (".meta", 4.5), (".verdict", 7), ("main a", 4.5)):
            assert contrast(tones(page, selector, "color"), paper) >= least, selector


def tones(page, selector, key):
    text = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{key}")
    return [int(part) for part in text.split("(")[1].rstrip(")").split(",")[:3]]


def contrast(one, other):
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(tone):
    shares = [value / 255 for value in tone]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_players_work_without_the_page_as_in_jupyter(browser, tmp_path):
    """Each output of a notebook carries its own style and script, and may be shown again."""
    scene = Scene("both")
    outputs = [
        compare(scene.versions(model), title=model)._repr_html_() for model in ("wavenet", "dcunet")
    ]
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><meta charset='utf-8'><title>x</title>{''.join(outputs)}")
    with opened(browser, path) as page:
        assert page.locator(".player.live").count() == 2
        # Run again, a cell's output is replaced by script, which runs what is in it.
        page.evaluate(
            """html => {
                const range = document.createRange();
                range.selectNode(document.body);
                document.body.append(range.createContextualFragment(html));
            }""",
            outputs[0],
        )
        assert page.locator(".player.live").count() == 3
        for index in range(3):
            playing(page.locator(".player").nth(index))


def test_the_page_paints(browser, path):
    """When is told, and not judged: it depends on what else the machine does."""
    assert path.stat().st_size < 20e6
    with opened(browser, path) as page:
        # A function: an expression is evaluated again and again, which the page's policy forbids.
        page.wait_for_function(
            "() => performance.getEntriesByName('first-contentful-paint').length"
        )
        (paint,) = page.evaluate(
            "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)"
        )
        print(f"{path.stat().st_size / 1e6:.1f} MB, first paint after {paint:.0f} ms")
