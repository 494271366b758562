"""The listening room in a real JupyterLab and a real browser: run, move, hear, save."""

import html
import io
import re

import nbformat
import numpy as np
import pytest
import soundfile
import torch
from jupyter_lab import ROOT, jupyter_lab, opened_notebook, small_clone
from page_checks import chromium, wait

from denoise_lib import RATE, cli
from denoise_lib.files import resource
from denoise_lib.models import DCUnet
from denoise_lib.models.checkpoints import save_model
from denoise_lib.report import runner
from denoise_lib.report.parameters import cell_parameters, given_values

pytestmark = pytest.mark.slow

MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
MODEL = "quick both DCUnet"
LONG_CLIP = "es/confbridge-begin-glorious-c"
# Moves a slider by one step and waits for the player that comes of it, with its sounds decoded.
MOVE = """async ([handle, key]) => {
    const old = document.querySelector(".denoise-room .player");
    const start = performance.now();
    handle.focus();
    handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    const found = () => {
        const player = document.querySelector(".denoise-room .player.live[data-attached]");
        return player && player !== old && player.querySelectorAll(".player-version").length === 3;
    };
    while (!found()) {
        if (performance.now() - start > 30000) throw Error("no new player after 30 s");
        await new Promise(requestAnimationFrame);
    }
    const context = new AudioContext();
    for (const { src } of document.querySelectorAll(".denoise-room .player audio")) {
        await context.decodeAudioData(await (await fetch(src)).arrayBuffer());
    }
    return (performance.now() - start) / 1000;
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium(*MICROPHONE) as started:
        yield started


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with one network, untrained: what it does to a sound does not matter here."""
    folder = small_clone(tmp_path_factory.mktemp("clone"))
    torch.manual_seed(0)
    network = DCUnet.from_preset("small")
    save_model(folder / "report/build/quick/04_dcunet/both.safetensors", network)
    return folder


@pytest.fixture(scope="module")
def page(browser, clone, tmp_path_factory):
    with (
        jupyter_lab(clone, tmp_path_factory.mktemp("jupyter")) as address,
        opened_notebook(browser, address, "listening_room", permissions=["microphone"]) as page,
    ):
        yield page


@pytest.fixture
def room(page):
    """The room, at rest, with the clip and the damage that it starts with."""
    room = page.locator(".denoise-room")
    version(room, MODEL).wait_for()
    room.get_by_role("button", name="clip", exact=True).click()
    choose(room, "damage", "zeroing and raising")
    room.get_by_role("button", name="defaults").click()
    rests(room, zeroed="0.20", hop="160")
    return room


def version(room, name):
    return room.locator(".player-buttons button", has_text=name)


def rests(room, **readouts):
    """Wait until the sliders show these values and all that follows from them is heard."""
    for name, value in readouts.items():
        shown = slider(room, name).locator(".widget-readout").get_by_text(value, exact=True)
        shown.wait_for()
    # Two looks: the status of the move before might still be there at the first.
    room.page.wait_for_timeout(300)
    room.locator(".room-status [role=status]", has_text="heard after").wait_for()
    version(room, MODEL).wait_for()


def slider(room, name):
    label = room.page.get_by_text(name, exact=True)
    return room.locator(".widget-slider").filter(has=label)


def handle(room, name):
    return slider(room, name).locator(".noUi-handle")


def choose(room, name, option):
    label = room.page.get_by_text(name, exact=True)
    box = room.locator(".widget-dropdown").filter(has=label).locator("select")
    box.select_option(box.locator("option", has_text=option).first.get_attribute("value"))


def sounds(room):
    """{version: its sound, encoded}"""
    return dict(
        room.locator(".player-version").evaluate_all(
            "all => all.map(v => [v.querySelector('figcaption').textContent,"
            " v.querySelector('audio').src])"
        )
    )


def scores(room):
    rows = room.locator(".room-table tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {row[0]: row[1:] for row in rows}


def alarm(room, text):
    room.locator(".room-status [role=alert]", has_text=text).wait_for()


def wav(seconds):
    buffer = io.BytesIO()
    tone = 0.1 * np.sin(np.arange(round(seconds * RATE)) / 7)
    soundfile.write(buffer, tone, RATE, format="WAV")
    return buffer.getvalue()


def test_a_slider_changes_scores_and_sound(room):
    before, measured = sounds(room), scores(room)
    assert list(before) == list(measured) == ["clean", "noisy", MODEL]
    seconds = [
        room.page.evaluate(MOVE, [handle(room, "zeroed").element_handle(), "ArrowRight"])
        for _ in range(3)
    ]
    rests(room, zeroed="0.23")
    after = sounds(room)
    assert after["clean"] == before["clean"]
    assert after["noisy"] != before["noisy"] and after[MODEL] != before[MODEL]
    assert scores(room)["noisy"] != measured["noisy"]
    assert scores(room)["clean"] == measured["clean"]
    print(f"slider to sound: {', '.join(f'{each:.2f}' for each in seconds)} s")


def test_each_move_of_a_slider_is_heard_on_a_long_clip(room):
    """How long it takes is told, and not judged: it depends on what else the machine does."""
    choose(room, "voice", "allison")
    choose(room, "clip", LONG_CLIP)
    room.locator(".player-title", has_text=LONG_CLIP).wait_for()
    rests(room)
    assert float(room.locator(".player").get_attribute("data-seconds")) > 5
    element = handle(room, "raised").element_handle()
    seconds, heard = [], [sounds(room)["noisy"]]
    for _ in range(3):
        seconds.append(room.page.evaluate(MOVE, [element, "ArrowRight"]))
        heard.append(sounds(room)["noisy"])
    assert len(set(heard)) == len(heard)
    print(f"slider to sound, 5 s clip: {', '.join(f'{each:.2f}' for each in seconds)} s")
    choose(room, "voice", "carlo")


def test_the_player_plays(room):
    player = room.locator(".player")
    # Round and round: on a slow machine a clip may have ended before anybody looks.
    loop = player.get_by_role("button", name="loop", exact=True)
    loop.click()
    player.get_by_role("button", name="play", exact=True).click()
    wait(player, "p => p.player.transport.voices.length && p.player.transport.position > 0")
    lengths = player.evaluate("p => p.player.transport.voices.map(v => v.source.buffer.duration)")
    assert len(lengths) == 3 and min(lengths) > 1
    player.get_by_role("button", name="pause", exact=True).click()
    loop.click()


def test_a_new_player_goes_on_where_the_old_one_was(room):
    state = (
        "p => [p.player.transport.selected, p.player.transport.playing, p.player.transport.loop,"
        " p.player.transport.position]"
    )
    version(room, MODEL).click()
    player = room.locator(".player")
    player.get_by_role("button", name="loop", exact=True).click()
    player.evaluate("p => p.player.transport.seek(1.25)")
    room.page.evaluate(MOVE, [handle(room, "raised").element_handle(), "ArrowRight"])
    assert room.locator(".player").evaluate(state) == [2, False, True, 1.25]
    # And while it plays.
    room.locator(".player").get_by_role("button", name="play", exact=True).click()
    wait(room.locator(".player"), "p => p.player.transport.voices.length > 0")
    room.page.evaluate(MOVE, [handle(room, "raised").element_handle(), "ArrowRight"])
    wait(room.locator(".player"), "p => p.player.transport.voices.length > 0")
    selected, playing, loop, _ = room.locator(".player").evaluate(state)
    assert (selected, playing, loop) == (2, True, True)
    room.locator(".player").get_by_role("button", name="pause", exact=True).click()
    version(room, "clean").click()


def test_a_bad_combination_is_one_line_and_the_last_sound_stays(room):
    before = sounds(room)
    handle(room, "hop").focus()
    room.page.keyboard.press("End")
    alarm(room, "longer than the frame of 640")
    assert sounds(room) == before
    assert room.page.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
    room.get_by_role("button", name="defaults").click()
    rests(room, hop="160")


def test_a_street(room):
    before = sounds(room)
    choose(room, "damage", "street noise")
    room.locator(".room-status", has_text="street:").wait_for()
    assert sounds(room)["noisy"] != before["noisy"]
    assert slider(room, "SNR, dB").is_visible() and not slider(room, "zeroed").is_visible()


def test_saved_parameters_are_what_the_shown_command_reads(room, clone, monkeypatch):
    room.page.evaluate(MOVE, [handle(room, "zeroed").element_handle(), "ArrowRight"])
    rests(room, zeroed="0.21")
    room.get_by_role("textbox", name="file in report/").fill("mine.yaml")
    room.page.keyboard.press("Tab")
    room.get_by_role("button", name="save these parameters").click()
    command = room.locator(".room-command pre").inner_text()
    found = re.fullmatch(r'make notebook NB=(\w+) P="(.*)"', html.unescape(command).strip())
    calls = []
    monkeypatch.setattr(runner, "notebook", lambda *args: calls.append(args))
    monkeypatch.chdir(clone)
    with pytest.raises(SystemExit):
        cli.main(["notebook", found[1], *found[2].split(), "--profile", "quick"])
    ((name, values, _),) = calls
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    given = given_values(values, cell_parameters(notebook, name), name)
    assert given == {
        "quantile": 0.9,
        "zero": 0.21,
        "raised": 0.5,
        "value": 1.0,
        "n_fft": 640,
        "hop": 160,
        "window": "rect",
        "seed": int(room.locator(".widget-text input[type=number]").input_value()),
    }


def upload(room, name, content):
    room.get_by_role("button", name="file", exact=True).click()
    with room.page.expect_file_chooser() as chooser:
        room.locator(".jupyter-widget-upload, .widget-upload").first.click()
    chooser.value.set_files({"name": name, "mimeType": "audio/wav", "buffer": content})


def test_an_upload_is_heard(room):
    upload(room, "mine.wav", wav(345))  # 11 MB: more than the server takes unless told so
    room.locator(".player-title", has_text="mine.wav").wait_for()
    assert float(room.locator(".player").get_attribute("data-seconds")) == pytest.approx(8.0)
    room.get_by_text("mine.wav: the first 8 of 345.0 s").wait_for()
    before = sounds(room)
    upload(room, "other.wav", b"this is no sound")
    alarm(room, "other.wav cannot be read as audio")
    assert sounds(room) == before


def test_the_microphone_is_heard(room):
    room.get_by_role("button", name="microphone", exact=True).click()
    room.get_by_role("button", name="record", exact=True).click()
    stop = room.get_by_role("button", name="stop", exact=True)
    stop.wait_for()
    room.page.wait_for_timeout(1000)  # the length of the recording
    stop.click()
    room.locator(".player-title", has_text="recording 1.webm").wait_for()
    assert float(room.locator(".player").get_attribute("data-seconds")) > 0.5
    assert "resampled from 48000" in room.locator(".room-group").first.inner_text()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("delete Navigator.prototype.mediaDevices", "offers no microphone"),
        ("delete window.MediaRecorder", "offers no microphone"),
        (
            "navigator.mediaDevices.getUserMedia = async () => {"
            " throw new DOMException('no', 'NotAllowedError'); }",
            "was not allowed",
        ),
        (
            "navigator.mediaDevices.getUserMedia = async () => {"
            " throw new DOMException('no device', 'NotFoundError'); }",
            "cannot be used (no device)",
        ),
    ],
)
def test_without_a_microphone_the_room_says_so(browser, tmp_path, script, message):
    code = resource("denoise_lib.listening_room", "room.js")
    source = f"""<!DOCTYPE html><meta charset="utf-8"><title>x</title>
    <div class="r-microphone"><div class="room-microphone"><button>record</button>
    <p role="status"></p></div></div>
    <script>{script};{code};window.denoiseRoom.microphone("r", 8)</script>"""
    (tmp_path / "x.html").write_text(source)
    page = browser.new_page()
    page.goto((tmp_path / "x.html").as_uri())
    button = page.get_by_role("button", name="record")
    status = page.get_by_role("status")
    if button.is_enabled():
        button.click()
    status.get_by_text(message).wait_for()
    page.close()
