"""The listening matrix, a voice of one's own and the questions of the blind test, in a browser."""

import json
import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import soundfile
import torch
from page_checks import chromium, opened, wait
from page_fixture import Scene, own_clone
from test_accessible import FOLDS, violations

import denoise_lib
from denoise_lib.damage.street import add_noise
from denoise_lib.report import page as page_builder
from denoise_lib.report.hearing import Wanted, heard
from denoise_lib.report.matrix import matrix
from denoise_lib.study.run import Run
from denoise_lib.study.sentences import Sentence

pytestmark = pytest.mark.slow

WHO = ("English, a woman", "Russian, a man")


def sentence(run, order, condition, *models):
    """Keep a sentence, its networks stood in for as the page's small clone does it."""
    scene = Scene(condition, f"en/sentence-{order}", order, 1.0)
    clean, noisy = (scene.versions("dcunet")[each] for each in ("clean", "noisy"))
    versions = {"clean": clean, "noisy": noisy}
    for name in models:
        versions[name] = clean + (noisy - clean) / len(name)
    scores = {name: {"wsdr": -0.9, "si_sdr": 10.0 + len(name)} for name in versions}
    told = Sentence(scene.clip, WHO[order], "Say <it> again.")
    run.sentence(told, order, condition, versions, scores, denoise_lib.RATE)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone whose runs kept two sentences, and its page."""
    root = own_clone(tmp_path_factory.mktemp("heard"), runs=("04_dcunet", "05_street_noise"))
    build = root / "report" / "build" / "quick"
    for condition in ("both", "zero"):
        for order in (1, 0):
            for name, models in (("04_dcunet", ["dcunet"]), ("05_street_noise", ["repair"])):
                sentence(Run(name, build / name), order, condition, *models)
    for order in (0, 1):
        run = Run("05_street_noise", build / "05_street_noise")
        sentence(run, order, "street", "rnnoise", "speech")
    page_builder.build("quick", root)
    return root


@pytest.fixture(scope="module")
def path(clone):
    return clone / "report" / "index.html"


@pytest.fixture(scope="module")
def browser():
    """Chromium with a microphone that hears beeps, and that nobody has to allow."""
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with chromium(*fake) as started:
        yield started


@pytest.fixture
def listen(page):
    return page.locator("#listen")


def cell(listen, row, version):
    return listen.locator(f".matrix-grid [data-row='{row}'][data-version='{version}']")


def state(listen):
    return listen.evaluate(
        """s => {
            const { player } = s.matrix, { transport } = player;
            const title = player.root.querySelector('.player-title').textContent;
            return [title, player.names[transport.selected], transport.playing];
        }"""
    )


def test_versions_of_several_runs_stand_in_one_matrix(clone):
    runs = clone / "report" / "build" / "quick"
    made = matrix(runs, ["04_dcunet", "05_street_noise"])
    assert [tab["condition"] for tab in made.tabs] == ["both", "zero", "street"]
    assert [each["name"] for each in made.tabs[0]["versions"]] == [
        "clean",
        "noisy",
        "dcunet",
        "repair",
    ]
    assert [each["who"] for each in made.sentences] == list(WHO)
    keys = {entry["key"] for tab in made.tabs for row in tab["rows"] for entry in row.values()}
    assert keys == set(made.sounds) and len(made.street()) == 2
    assert [tab["missing"] for tab in made.tabs] == [
        "Not run on zeroing and raising: RNNoise and speech.",
        "Not run on zeroing alone: RNNoise and speech.",
        "Not run on street noise: DCUnet and repair.",
    ]


def test_a_finding_is_heard_with_the_sounds_of_the_matrix(clone):
    made = matrix(clone / "report" / "build" / "quick", ["04_dcunet", "05_street_noise"])
    cells = made.tabs[0]["rows"][0]
    found = heard(Wanted("both", ("noisy", "unet", "dcunet")), made)
    assert (found.who, found.seconds) == (WHO[0], made.sentences[0]["seconds"])
    assert [(each.key, each.gain) for each in found.buttons] == [
        (cells["noisy"]["key"], 1.0),
        (cells["dcunet"]["key"], 1.0),
    ]
    for name, gains in (("twice the volume", [0.5, 1.0]), ("half the volume", [1.0, 0.5])):
        loud = heard(Wanted("both", ("noisy", name)), made)
        assert [each.key for each in loud.buttons] == [cells["noisy"]["key"]] * 2
        assert [each.gain for each in loud.buttons] == gains
    assert heard(Wanted("both", ("noisy", "unet")), made) is None  # nothing to compare
    assert heard(Wanted("raise", ("noisy", "clean")), made) is None
    assert heard(Wanted("both", ("noisy", "clean"), unseen=True), made) is None
    assert heard(Wanted("both", ("noisy", "clean")), None) is heard(None, made) is None


def test_a_finding_tells_which_of_its_sounds_is_louder(clone):
    made = matrix(clone / "report" / "build" / "quick", ["04_dcunet", "05_street_noise"])
    cells, wanted = made.tabs[0]["rows"][0], Wanted("both", ("noisy", "dcunet", "clean"))
    tone = np.sin(np.arange(8000))

    def flac(samples):
        soundfile.write(file := BytesIO(), samples, denoise_lib.RATE, format="FLAC")
        return file.getvalue()

    def told(db):
        gains = {"noisy": 0.1, "clean": 0.1, "dcunet": 0.1 * 10 ** (db / 20)}
        sounds = {cells[name]["key"]: flac(gain * tone) for name, gain in gains.items()}
        return heard(wanted, replace(made, sounds=made.sounds | sounds)).louder

    assert told(8.2) == "“DCUnet” is 8 dB louder than “noisy” here."
    assert told(2.0) == told(-8.0) == ""
    assert heard(Wanted("both", ("noisy", "twice the volume")), made).louder == ""


def test_a_finding_is_heard_at_once(page):
    buttons = page.locator(".hearing").first.get_by_role("button")
    assert buttons.all_inner_texts() == ["noisy", "DCUnet", "clean"]
    page.evaluate(
        "() => { for (const each of denoisePlayers.players) each.transport.loop = true; }"
    )
    buttons.nth(1).click()
    pressed = "each => each.getAttribute('aria-pressed') === 'true'"
    wait(buttons.nth(1), pressed)
    buttons.nth(2).click()
    assert [each.evaluate(pressed) for each in buttons.all()] == [False, False, True]
    playing = "() => [...denoisePlayers.players].filter((each) => each.transport.playing).length"
    assert page.evaluate(playing) == 1
    buttons.nth(2).click()
    assert not any(each.evaluate(pressed) for each in buttons.all())
    assert page.evaluate(playing) == 0


def test_a_run_with_another_damage_is_left_out(clone, tmp_path):
    for name, condition in (("a", "both"), ("b", "zero")):
        run = Run(name, tmp_path / name)
        sentence(run, 0, condition, name)
        record = run.out / "sentences" / f"{condition}-0.json"
        moved = json.loads(record.read_text()) | {"condition": "both"}
        record.with_name("both-0.json").write_text(json.dumps(moved))
    (row,) = matrix(tmp_path, ["a", "b"]).tabs[0]["rows"]
    assert list(row) == ["clean", "noisy", "a"]


def test_every_sound_is_on_the_page_once(path):
    text = path.read_text(encoding="utf-8")
    stored = re.findall(r'<audio id="sound-(\w+)"', text)
    assert len(stored) == len(set(stored)) == text.count("data:audio/flac")
    cells = json.loads(re.search(r'id="matrix-data">\s*(\{.*?\})\s*</script>', text, re.S)[1])
    keys = {e["key"] for tab in cells["tabs"] for row in tab["rows"] for e in row.values()}
    assert keys <= set(stored)


def test_another_version_and_another_damage_go_on_at_the_same_place(page, listen):
    listen.get_by_role("button", name="loop", exact=True).click()  # it must not end meanwhile
    cell(listen, 0, "dcunet").click()
    wait(listen, "s => s.matrix.player.transport.voices.length === 4")
    assert state(listen) == [f"{WHO[0]}: zeroing and raising", "DCUnet", True]
    went_on = listen.evaluate(
        """s => {
            const { transport } = s.matrix.player, [voice] = transport.voices;
            s.querySelector(".matrix-grid [data-row='0'][data-version=repair]").click();
            return transport.playing && transport.voices[0] === voice;
        }"""
    )
    assert went_on and state(listen)[1] == "repair"
    listen.get_by_role("button", name="pause").click()
    position = "s => s.matrix.player.transport.position"
    listen.evaluate("s => s.matrix.player.transport.seek(0.6)")
    listen.get_by_role("tab", name="zeroing alone").click()
    assert state(listen) == [f"{WHO[0]}: zeroing alone", "repair", False]
    assert listen.evaluate(position) == pytest.approx(0.6)
    pressed = listen.locator(".matrix-grid [aria-pressed=true]")
    assert pressed.get_attribute("aria-label") == (
        f"repair, {WHO[0]}, sentence 1, SI-SDR 16.0\N{NO-BREAK SPACE}dB"
    )
    cell(listen, 1, "noisy").click()
    cell(listen, 1, "noisy").press("4")  # keys on a cell are the player's
    assert state(listen)[1] == "repair"
    cell(listen, 1, "noisy").click()
    assert state(listen)[:2] == [f"{WHO[1]}: zeroing alone", "noisy"]


def test_tabs_work_by_keys(page, listen):
    tabs = listen.get_by_role("tab")
    tabs.first.focus()
    page.keyboard.press("ArrowLeft")
    assert listen.get_by_role("tab", selected=True).inner_text() == "street noise"
    page.keyboard.press("Home")
    assert listen.get_by_role("tab", selected=True).inner_text() == "zeroing and raising"
    assert page.evaluate("document.activeElement.dataset.tab") == "0"


def test_what_was_removed_and_what_is_wrong_are_differences(listen):
    """Both are heard as sums of the versions that run: rendered offline, they are differences."""
    listen.get_by_role("button", name="hear what was removed").click()
    player = listen.locator(".player")
    assert "noisy minus repair" in player.locator(".player-notice").inner_text()
    for mix, (more, less) in {"removed": (1, 3), "wrong": (3, 0)}.items():
        worst = player.evaluate(
            """async (p, [mix, more, less]) => {
                const { Transport, stored } = window.denoisePlayers, own = p.player.transport;
                const clips = await Promise.all(own.sounds.map(stored));
                const { rate, samples: { length } } = clips[0];
                const context = new OfflineAudioContext(1, length, rate);
                const transport = new Transport(own.sounds, length / rate, () => {}, context);
                transport.selected = 3;
                transport.mixed = p.player.tools.mixes[mix].shares;
                transport.voices = clips.map(({ samples }, i) => {
                    const buffer = context.createBuffer(1, length, rate);
                    buffer.getChannelData(0).set(samples);
                    return transport.voice(buffer, i);
                });
                const heard = (await context.startRendering()).getChannelData(0);
                const wrong = heard.map(
                    (x, i) => Math.abs(x - clips[more].samples[i] + clips[less].samples[i]));
                return Math.max(...wrong.slice(rate / 100));
            }""",
            [mix, more, less],
        )
        assert worst < 1e-6


def test_keys_go_to_the_player_touched_last(page, listen):
    listen.locator(".player-screen:visible").click(position={"x": 30, "y": 30})
    page.evaluate("document.activeElement.blur()")
    before = page.evaluate("scrollY")
    page.keyboard.press("3")
    assert state(listen)[1] == "DCUnet"
    page.keyboard.press(" ")
    assert state(listen)[2] and page.evaluate("scrollY") == before
    page.keyboard.press(" ")
    other = page.locator(".notebook .player").first
    other.locator(".player-screen:visible").click(position={"x": 30, "y": 30})
    page.keyboard.press("2")
    assert other.evaluate("p => p.player.transport.selected") == 1 and state(listen)[1] == "DCUnet"
    page.locator("nav a").first.focus()
    page.keyboard.press("1")
    assert other.evaluate("p => p.player.transport.selected") == 1


# --- a voice of one's own


def voice_of(page, *, damage):
    own = page.locator("#voice")
    own.locator(f"input[value={damage}]").check()
    return own


def arrays(own):
    """Versions of the player, as they are played but for its gain."""
    wait(own, "v => v.querySelector('.player')?.player && !v.voice.working", seconds=60)
    found = own.evaluate(
        """async (v) => {
            const { names, transport } = v.querySelector('.player').player;
            const clips = await Promise.all(transport.sounds.map(window.denoisePlayers.stored));
            return Object.fromEntries(names.map((name, i) => [name, [...clips[i].samples]]));
        }"""
    )
    return {name: np.array(values, "f4") for name, values in found.items()}


def wav_file(folder, seconds=1.0, rate=denoise_lib.RATE, channels=1):
    samples, own = soundfile.read(
        denoise_lib.paths.ROOT / "audio" / "ex_street.flac", dtype="float32"
    )
    samples = samples[: round(seconds * own)]
    if rate != own:
        samples = np.interp(np.arange(0, seconds, 1 / rate), np.arange(len(samples)) / own, samples)
    path = folder / "voice.wav"
    soundfile.write(path, np.stack([samples] * channels, 1), rate, subtype="FLOAT")
    return path, samples.astype("f4")


def error_db(one, other):
    return 10 * np.log10(np.square(one - other).sum() / np.square(other).sum())


def test_a_file_is_denoised_as_the_library_does_it(page, tmp_path):
    own = voice_of(page, damage="none")
    path, samples = wav_file(tmp_path)
    own.locator("input[type=file]").set_input_files(path)
    found = arrays(own)
    assert list(found) == ["noisy", "speech"]
    assert error_db(found["noisy"], samples) < -80
    assert error_db(found["speech"], denoise_lib.enhance(samples, "speech")) < -60
    assert "times as fast" in own.locator("[data-part=speed]").inner_text()
    assert not own.locator(".player-scores").all_inner_texts()[0].strip()


def test_the_damage_has_sliders_and_live_scores(page, tmp_path):
    own = voice_of(page, damage="fixed")
    own.locator("input[type=file]").set_input_files(wav_file(tmp_path, 0.6, 48000, 2)[0])
    before = arrays(own)
    assert list(before) == ["clean", "noisy", "speech"]
    assert len(before["clean"]) == pytest.approx(0.6 * denoise_lib.RATE, abs=2)
    own.locator("[data-setting=zero]").fill("0")
    own.locator("[data-setting=raised]").fill("0")
    wait(own, "v => !v.voice.working && v.voice.turn > 1", seconds=60)
    undamaged = arrays(own)
    assert error_db(undamaged["noisy"], undamaged["clean"]) < -100
    assert error_db(before["noisy"], before["clean"]) > -15
    own.locator("[data-setting=raised]").fill("50")
    wait(own, "v => !v.voice.working && v.voice.turn > 2", seconds=60)
    found = {name: torch.from_numpy(each) for name, each in arrays(own).items()}
    shown = own.locator(".player-version[data-name=speech] .player-scores")
    expected = denoise_lib.wsdr(found["speech"], found["clean"], found["noisy"])
    assert f"{float(expected):.3f}".replace("-", "−") in shown.evaluate("e => e.textContent")


def test_noise_of_the_page_s_streets_is_mixed_at_a_ratio(page, tmp_path):
    own = voice_of(page, damage="street")
    own.locator("[data-setting=snr]").fill("6")
    own.locator("input[type=file]").set_input_files(wav_file(tmp_path, 0.8)[0])
    found = {name: torch.from_numpy(each) for name, each in arrays(own).items()}
    noise = found["noisy"] - found["clean"]
    mixed = add_noise(found["clean"][None], noise[None], 6.0)[0]
    assert error_db(found["noisy"].numpy(), mixed.numpy()) < -60


def test_a_clip_of_the_page_and_its_version_are_kept(page):
    own = voice_of(page, damage="street")
    own.get_by_role("button", name="take a clip of this page").click()
    arrays(own)
    own.locator(".player-buttons button").nth(2).click()
    own.locator("[data-setting=snr]").fill("10")
    wait(own, "v => !v.voice.working && v.voice.turn > 1", seconds=60)
    assert own.evaluate("v => v.querySelector('.player').player.transport.selected") == 2


def test_what_is_no_sound_is_said(page, tmp_path):
    (tmp_path / "note.txt").write_text("no sound")
    own = voice_of(page, damage="none")
    own.locator("input[type=file]").set_input_files(tmp_path / "note.txt")
    status = own.locator("[data-part=status]")
    wait(status, "s => s.textContent.includes('cannot read')")
    assert not own.locator(".player").count()


def test_a_microphone_is_recorded(browser, path):
    with opened(browser, path, permissions=["microphone"]) as page:
        own = voice_of(page, damage="none")
        own.get_by_role("button", name="record").click()
        wait(own, "v => v.voice.recorder?.state === 'recording'")
        page.wait_for_timeout(1500)  # the made-up device beeps once a second
        own.get_by_role("button", name="stop").click()
        assert len(arrays(own)["noisy"]) > 0.5 * denoise_lib.RATE


# --- the questions of the blind test


def part(blind, name):
    return blind.locator(f"[data-part={name}]")


def test_the_three_questions_are_asked(page):
    blind = page.locator("#blind-test")
    options = part(blind, "question").locator("option").all_inner_texts()
    assert len(options) == 4 and "zeroing audible" in options[0] and "RNNoise" in options[2]
    assert not part(blind, "clip").is_visible()
    pairs = {0: ["clean", "noisy"], 1: ["clean", "repair"], 2: ["RNNoise", "speech"]}
    for index, pair in pairs.items():
        part(blind, "question").select_option(index=index)
        assert blind.evaluate("s => s.blindTest.pair") == pair
    part(blind, "question").select_option("own")
    assert part(blind, "clip").is_visible()


def test_a_preference_is_counted_told_at_the_end_and_shared(page):
    blind = page.locator("#blind-test")
    part(blind, "question").select_option(index=2)
    part(blind, "planned").select_option("10")
    assert not part(blind, "x").is_visible()
    part(blind, "a").click()
    part(blind, "is-a").click(force=True)
    assert "Listen to both first." in part(blind, "status").inner_text()
    for _ in range(10):  # somebody who likes "speech" best, wherever it is
        part(blind, "a").click()
        part(blind, "b").click()
        assert not part(blind, "results").is_visible()
        first = blind.evaluate("s => s.blindTest.order[0]")
        part(blind, "is-a" if first == "speech" else "is-b").click()
    assert "You prefer speech: speech in 10 of 10." in part(blind, "status").inner_text()
    assert part(blind, "right").inner_text() == "0 of 10"
    assert part(blind, "p").inner_text() == "0.0020"  # both tails
    told = part(blind, "share").input_value()
    assert "do you prefer RNNoise or “speech”? You prefer speech" in told and "p = 0.0020" in told
    part(blind, "copy").click()
    wait(part(blind, "copy"), "b => b.textContent === 'copied'")


def test_versions_are_equally_loud_unless_asked_otherwise(page):
    blind = page.locator("#blind-test")
    part(blind, "a").click()
    wait(blind, "s => s.blindTest.transport.voices.length === 3")
    levels = blind.evaluate(
        """async (s) => {
            const { decodedAt } = window.denoisePlayers, { loudness } = window.denoiseMeasures;
            const { sounds, gains } = s.blindTest.transport;
            const clips = await Promise.all(sounds.map((each) => decodedAt(each, 48000)));
            return clips.map((clip, i) => loudness(clip.map((x) => x * gains[i])));
        }"""
    )
    assert np.ptp(levels) < 0.01
    part(blind, "match").uncheck()
    assert blind.evaluate("s => s.blindTest.transport.gains.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_of_it_is_accessible_and_fits_a_phone(browser, path, scheme):
    with opened(browser, path, width=390, color_scheme=scheme) as page:
        page.locator("#voice").get_by_role("button", name="take a clip").click()
        arrays(page.locator("#voice"))
        page.locator(".fold").evaluate_all(FOLDS)
        page.locator("#listen").get_by_role("button", name="hear what is wrong").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert not violations(page)


def test_without_scripts_every_sound_plays(browser, path):
    with opened(browser, path, java_script_enabled=False) as page:
        sounds = page.locator("#listen .player-native")
        assert sounds.count() == 2 * (4 + 4 + 4) and sounds.first.is_visible()
        assert page.locator("#voice").get_by_text("needs scripts, and they are off").is_visible()


def test_the_small_player_follows_what_the_matrix_plays(page, listen):
    cell(listen, 0, "noisy").click()
    cell(listen, 1, "dcunet").click()
    page.locator("#downloads").scroll_into_view_if_needed()
    pocket = page.locator(".pocket")
    wait(pocket, "p => !p.hidden")
    assert pocket.locator(".pocket-where").inner_text() == (
        f"{WHO[1]}: zeroing and raising: DCUnet"
    )
    wait(listen, "s => !s.matrix.player.transport.playing")
    pocket.locator(".pocket-play").click()
    wait(listen, "s => s.matrix.player.transport.playing")
