"""The player's quiet row in a real browser: loops, matched loudness, differences, downloads."""

import base64
import io

import numpy as np
import pytest
import soundfile
from page_checks import check_keeps_the_position, check_selected, opened, playing, wait
from page_fixture import Scene
from PIL import Image

from denoise_lib.display import spectra
from denoise_lib.display.player import compare

pytestmark = pytest.mark.slow

REGION = "p => p.player.transport.region"


def tool(player, name):
    return player.get_by_role("button", name=name)


def drag(page, player, start, end):
    """Drag over the spectrogram between two shares of its width."""
    screen = player.locator(".player-screen:visible")
    screen.scroll_into_view_if_needed()
    box = screen.bounding_box()
    page.mouse.move(box["x"] + start * box["width"], box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 50, steps=4)
    page.mouse.up()


def stays_inside(player, start, end, seconds=1.0):
    """Positions that the playing player passes in some time, all of them asserted to be inside."""
    positions = player.evaluate(
        """async (p, seconds) => {
            const seen = [], until = performance.now() + 1000 * seconds;
            while (performance.now() < until) {
                seen.push(p.player.transport.position);
                await new Promise((done) => setTimeout(done, 10));
            }
            return seen;
        }""",
        seconds,
    )
    assert start - 0.02 <= min(positions) and max(positions) <= end + 0.02
    assert any(later < sooner for sooner, later in zip(positions, positions[1:], strict=False))


@pytest.mark.parametrize(("start", "end"), [(0.4, 0.6), (0.6, 0.4)])
def test_a_drag_marks_the_part_that_loops(page, player, start, end):
    drag(page, player, start, end)
    seconds = float(player.get_attribute("data-seconds"))
    low, high = player.evaluate(REGION)
    assert [low, high] == pytest.approx([0.4 * seconds, 0.6 * seconds], abs=0.02)
    assert player.get_by_role("button", name="loop", exact=True).get_attribute("aria-pressed") == (
        "true"
    )
    shown = player.locator(".player-region").bounding_box()
    screen = player.locator(".player-screen:visible").bounding_box()
    assert shown["width"] == pytest.approx(0.2 * screen["width"], abs=3)
    assert "Loops 0:01.0 to 0:01.5." in player.locator(".player-notice").inner_text()
    playing(player)
    stays_inside(player, low, high)
    check_selected(player, 0)


def test_keys_mark_the_part_and_take_it_away(page, player):
    player.get_by_role("button", name="clean", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    assert player.evaluate(REGION) == pytest.approx([0.5, 2.5], abs=0.01)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("b")
    assert player.evaluate(REGION) == pytest.approx([0.5, 1.0], abs=0.01)
    page.keyboard.press("Home")
    assert player.evaluate("p => p.player.transport.position") == pytest.approx(0.5)
    page.keyboard.press("Escape")
    assert player.evaluate(REGION) is None
    assert not player.evaluate("p => p.player.transport.loop")


def test_buttons_mark_the_part_by_keyboard_alone(page, player):
    player.evaluate("p => p.player.transport.seek(1)")
    tool(player, "loop from here").press("Enter")
    player.evaluate("p => p.player.transport.seek(1.5)")
    tool(player, "to here").press("Enter")
    assert player.evaluate(REGION) == pytest.approx([1.0, 1.5])
    tool(player, "whole clip").press("Enter")
    assert player.evaluate(REGION) is None
    # The button is gone, the focus is not.
    assert page.evaluate("document.activeElement.textContent") == "loop from here"


def test_an_end_before_the_start_begins_a_new_part(player):
    player.evaluate("p => p.player.tools.mark(1, 1.5)")
    player.evaluate("p => { p.player.transport.loop = false; p.player.transport.seek(2); }")
    tool(player, "loop from here").click()
    assert player.evaluate(REGION) == pytest.approx([2, 2.5])
    player.evaluate("p => p.player.tools.mark(1, 1)")  # no part is too short to hear
    assert player.evaluate(REGION) == pytest.approx([1, 1.05])


def test_a_click_outside_the_part_takes_it_away(page, player):
    drag(page, player, 0.2, 0.4)
    screen = player.locator(".player-screen:visible")
    width = screen.bounding_box()["width"]
    screen.click(position={"x": 0.3 * width, "y": 40})
    assert player.evaluate(REGION)
    screen.click(position={"x": 0.8 * width, "y": 40})
    assert player.evaluate(REGION) is None
    assert player.evaluate("p => p.player.transport.position") == pytest.approx(2.0, abs=0.02)


def test_switching_inside_a_part_keeps_the_position(page, player):
    player.evaluate("p => p.player.tools.mark(0.5, 1)")
    playing(player)
    check_keeps_the_position(player, {"select": 2}, 0.5)
    stays_inside(player, 0.5, 1)


def test_going_round_does_not_click(player):
    """Rendered offline, a tone cut at any place has no step at the seam of the loop."""
    largest = player.evaluate(
        """async () => {
            const { Transport } = window.denoisePlayers;
            const rate = 48000;
            const context = new OfflineAudioContext(1, 2 * rate, rate);
            const buffer = context.createBuffer(1, rate, rate);
            buffer.getChannelData(0).forEach((_, i, samples) => {
                samples[i] = Math.sin(2 * Math.PI * 100 * i / rate);
            });
            context.decodeAudioData = async () => buffer;
            context.resume = async () => {};
            const key = "a tone", source = "data:,";
            const transport = new Transport([{ key, source }], 1, () => {}, context);
            window.AudioContext = function () { return context; };
            transport.loop = true;
            transport.region = [0.2, 0.5025];  // a quarter of a period too long: it would jump
            await transport.play();
            const output = (await context.startRendering()).getChannelData(0);
            return Math.max(...output.slice(1000, -1).map((x, i) => Math.abs(x - output[i + 999])));
        }"""
    )
    own = 2 * np.pi * 100 / 48000  # of the tone
    assert largest < own + 2 / (0.005 * 48000) * 1.1


def test_matched_loudness_is_measured_and_marked(page, player):
    button = tool(player, "match loudness")
    button.click()
    page.wait_for_function("() => document.querySelector('#listen .player.matched')")
    assert button.get_attribute("aria-pressed") == "true"
    notice = player.locator(".player-notice").inner_text()
    assert "Loudness-matched" in notice and "RMS over the clip" in notice
    shown = player.locator(".player-gain").all_inner_texts()
    gains = [float(text.removesuffix(" dB").replace("−", "-")) for text in shown]
    waves = [stored(player, page, index) for index in range(len(gains))]
    rms = [20 * np.log10(np.sqrt(np.mean(wave**2))) for wave in waves]
    levels = [own + gain for own, gain in zip(rms, gains, strict=True)]
    assert max(levels) - min(levels) < 0.11  # gains are shown to a tenth
    loudest = max(np.abs(wave).max() * 10 ** (g / 20) for wave, g in zip(waves, gains, strict=True))
    assert loudest <= 10 ** (-0.9 / 20)
    # The first version stays as it is, or a peak of another is in the way.
    assert gains[0] == 0 or (gains[0] < 0 and loudest >= 10 ** (-1.1 / 20))
    # What is heard has that gain; a switch goes to the gain of the next.
    playing(player)
    for index in (1, 2, 0):
        player.locator(".player-buttons button").nth(index).click()
        levels = player.evaluate("p => p.player.transport.voices.map(v => v.level)")
        assert 20 * np.log10(levels[index]) == pytest.approx(gains[index], abs=0.06)
        assert sum(level > 0 for level in levels) == 1
    button.click()
    wait(player, "p => !p.classList.contains('matched')")
    assert player.locator(".player-gain").count() == 0
    assert player.evaluate("p => p.player.transport.voices.map(v => v.level)")[0] == 1


def stored(player, page, index):
    """Samples of a version, by its download."""
    player.locator(".player-buttons button").nth(index).click()
    with page.expect_download() as started:
        player.get_by_role("button", name="download").click()
    return soundfile.read(io.BytesIO(started.value.path().read_bytes()))[0]


@pytest.mark.parametrize(
    ("levels", "target", "gains"),
    [
        ([0.1, 0.2], -23.01, [0, -6.02]),  # a sine's RMS is 3 dB below its peak
        ([0.1, 0.05, 0], -23.01, [0, 6.02, 0]),  # silence has no loudness to match
        ([0, 0.1], -23.01, [0, 0]),
        ([0, 0], 0, [0, 0]),
        ([0.95, 0.1], -4.01, [-0.55, 19.0]),  # a peak comes to -1 dB at most
    ],
)
def test_gains_that_match(page, levels, target, gains):
    found = page.evaluate(
        """(levels) => window.denoisePlayers.matching(levels.map((level) => Float32Array.from(
            { length: 1600 }, (_, i) => level * Math.sin(2 * Math.PI * i / 16))))""",
        levels,
    )
    assert found["gains"] == pytest.approx(gains, abs=0.03)
    assert found["target"] == pytest.approx(target, abs=0.03)


def test_the_fft_is_numpy_s(page):
    wave = np.random.default_rng(0).standard_normal(64)
    real, imaginary = page.evaluate(
        """(wave) => {
            const real = Float64Array.from(wave), imaginary = new Float64Array(wave.length);
            window.denoisePlayers.fft(real, imaginary);
            return [[...real], [...imaginary]];
        }""",
        wave.tolist(),
    )
    assert np.array(real) + 1j * np.array(imaginary) == pytest.approx(np.fft.fft(wave))


def test_levels_are_those_of_the_figures(page):
    wave = np.random.default_rng(0).standard_normal(4096).astype(np.float32) * 0.1
    shape = page.evaluate(
        """(wave) => window.denoisePlayers.spectrogram(
            { samples: Float32Array.from(wave), rate: 16000 }, 16)""",
        wave.tolist(),
    )
    levels = np.array(shape["levels"]).reshape(16, shape["bins"]).T
    # 16 columns of 256 samples, a frame in the middle of each: every second frame of a hop of 128.
    wanted = spectra.spectrogram_db(wave, hop=128 / 16000)[:-1, 1::2]
    assert levels == pytest.approx(wanted, abs=0.02)


def test_the_difference_view(page, player):
    button = tool(player, "difference")
    button.click()
    canvas = player.locator("canvas.player-difference")
    choice = player.get_by_role("combobox", name="difference to")
    assert canvas.is_visible() and choice.is_visible()
    assert choice.locator("option").all_inner_texts()[0] == "to clean"
    # The clean version would show nothing, so the last one is chosen instead.
    pixels(canvas, "DCUnet minus clean")
    player.get_by_role("button", name="clean", exact=True).click()
    # A version minus itself is nothing: one even colour.
    assert np.ptp(pixels(canvas, "clean minus clean"), axis=(0, 1)).max() == 0
    player.get_by_role("button", name="noisy", exact=True).click()
    louder = pixels(canvas, "noisy minus clean")
    assert louder.shape == (256, 640, 3)
    choice.select_option(label="to noisy")
    player.get_by_role("button", name="clean", exact=True).click()
    softer = pixels(canvas, "clean minus noisy")
    assert "clean minus noisy" in player.locator(".player-scale:visible").inner_text()
    # Turned round, what was louder (orange) is softer (blue).
    assert warmth(louder) > 5 and warmth(softer) < -5
    box, picture = canvas.bounding_box(), player.locator(".player-picture:visible").bounding_box()
    assert all(box[side] == pytest.approx(picture[side], abs=1) for side in box)
    button.click()
    assert not canvas.is_visible() and not choice.is_visible()
    assert "re full scale" in player.locator(".player-scale:visible").inner_text()


def pixels(canvas, shown):
    """What is drawn, (rows, columns, 3), once the canvas says that it shows this difference."""
    wait(canvas, f"c => c.getAttribute('aria-label').includes('{shown}, −40 to +40 dB')")
    data = base64.b64decode(canvas.evaluate("c => c.toDataURL()").split(",")[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def warmth(image):
    """Mean of red less blue: above zero where orange prevails."""
    return (image[..., 0] - image[..., 2]).mean()


def test_keys_of_the_tools(page, player):
    player.get_by_role("button", name="clean", exact=True).focus()
    page.keyboard.press("d")
    assert player.locator("canvas").is_visible()
    page.keyboard.press("m")
    wait(player, "p => p.classList.contains('matched')")
    page.keyboard.press("d")
    page.keyboard.press("m")
    wait(player, "p => !p.classList.contains('matched')")
    assert not player.locator("canvas").is_visible()
    # In the list of references, keys are the list's.
    page.keyboard.press("d")
    player.get_by_role("combobox", name="difference to").focus()
    page.keyboard.press("3")
    check_selected(player, player.locator(".player-buttons button").count() - 1)


@pytest.mark.parametrize("index", [0, 1, 4])
def test_each_version_can_be_downloaded_as_it_is_stored(page, player, index):
    player.locator(".player-buttons button").nth(index).click()
    with page.expect_download() as started:
        tool(player, "download").click()
    version = player.locator(".player-version").nth(index)
    name = version.get_attribute("data-name")
    assert started.value.suggested_filename == f"en-clip-3-zeroing-and-raising-{name}.flac"
    data = started.value.path().read_bytes()
    info = soundfile.info(io.BytesIO(data))
    assert (info.format, info.samplerate, info.channels) == ("FLAC", 16000, 1)
    assert info.duration == pytest.approx(float(player.get_attribute("data-seconds")))
    source = version.locator("audio").get_attribute("src")
    assert page.evaluate("s => atob(s.split(',')[1]).length", source) == len(data)


def test_tools_work_without_the_page_as_in_jupyter(browser, tmp_path):
    scene = Scene("both")
    path = tmp_path / "notebook.html"
    output = compare(scene.versions("dcunet"), title="x")._repr_html_()
    path.write_text(f"<!DOCTYPE html><meta charset='utf-8'><title>x</title>{output}")
    with opened(browser, path) as page:
        player = page.locator(".player")
        tool(player, "match loudness").click()
        wait(player, "p => p.classList.contains('matched')")
        tool(player, "difference").click()
        player.locator(".player-buttons button").nth(1).click()
        assert pixels(player.locator("canvas"), "noisy minus clean").std() > 10
        drag(page, player, 0.2, 0.6)
        assert player.evaluate(REGION) == pytest.approx([0.5, 1.5], abs=0.02)
        playing(player)


def test_fingers_reach_the_tools_on_a_narrow_screen(browser, path):
    with opened(browser, path, width=360, has_touch=True) as page:
        player = page.locator("#listen .player")
        tool(player, "match loudness").tap()
        wait(player, "p => p.classList.contains('matched')")
        tool(player, "difference").tap()
        assert player.locator("canvas").is_visible()
        sizes = [each.bounding_box() for each in player.locator("button:visible").all()]
        assert all(size["height"] >= 24 and size["width"] >= 24 for size in sizes)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
