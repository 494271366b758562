"""The blind test in a real browser: two scripted listeners, its statistics, its log."""

import csv
import io
import random

import numpy as np
import pytest
from page_checks import opened, wait
from scipy.stats import binomtest

pytestmark = pytest.mark.slow

# What a perfect listener compares: which of the two sounds, bit for bit, X plays.
HEARS_A = """test => {
    const [a, b, x] = test.transport.voices.map((v) => v.source.buffer.getChannelData(0));
    const same = (one, other) => one.every((sample, i) => sample === other[i]);
    if (same(a, b)) throw Error("A and B are the same sound");
    return same(a, x);
}"""


@pytest.fixture
def blind(page):
    return page.locator("#blind-test")


def part(blind, name):
    return blind.locator(f"[data-part={name}]")


def test(blind, expression):
    """A value of the running test, given as a JavaScript function of it."""
    return blind.evaluate(f"section => ({expression})(section.blindTest)")


test.__test__ = False


def heard(blind):
    part(blind, "x").click()
    wait(blind, "s => s.blindTest.transport.voices.length === 3")


def run(blind, listener, trials):
    part(blind, "planned").select_option(str(trials))
    for _ in range(trials):
        heard(blind)
        part(blind, "is-a" if listener(blind) else "is-b").click()


def exported(page, blind):
    with page.expect_download() as started:
        part(blind, "export").click()
    assert started.value.suggested_filename == "blind-test.csv"
    return list(csv.DictReader(io.StringIO(started.value.path().read_text())))


def test_a_perfect_listener_is_told_so(page, blind):
    run(blind, lambda blind: test(blind, HEARS_A), 10)
    assert part(blind, "right").inner_text() == "10 of 10"
    assert part(blind, "p").inner_text() == f"{binomtest(10, 10, alternative='greater').pvalue:.4f}"
    assert "You hear a difference: 10 of 10 right." in part(blind, "status").inner_text()
    rows = exported(page, blind)
    assert len(rows) == 10 and all(row["x"] == row["answer"] for row in rows)
    assert {row["right"] for row in rows} == {"1"}
    assert [row["right_so_far"] for row in rows] == [str(1 + i) for i in range(10)]
    assert float(rows[-1]["p_value"]) == pytest.approx(0.5**10)
    assert len({row["x"] for row in rows}) == 2, "X was always the same version (odds: 1 in 512)"


def test_a_guessing_listener_shows_nothing(page, blind):
    """X and the guesses are drawn by seeds here, so that the outcome is always this one."""
    xs, guesses = random.Random(1), random.Random(2)
    script = [xs.randrange(2) for _ in range(25)]
    part(blind, "clip").select_option(index=1)  # one clip: only X is drawn among two
    blind.evaluate(
        """({ blindTest }, script) => {
            const xs = [...script];
            blindTest.draw = (n) => (n === 2 ? xs.shift() ?? 0 : 0);
            blindTest.setUp();
        }""",
        script,
    )
    answers = [guesses.randrange(2) for _ in range(25)]
    order = iter(answers)
    run(blind, lambda _: next(order) == 0, 25)
    right = sum(x == answer for x, answer in zip(script, answers, strict=True))
    expected = binomtest(right, 25, alternative="greater").pvalue
    assert expected > 0.05
    assert part(blind, "right").inner_text() == f"{right} of 25"
    assert f"No difference shown: {right} of 25 right." in part(blind, "status").inner_text()
    rows = exported(page, blind)
    assert float(rows[-1]["p_value"]) == pytest.approx(expected)
    names = [test(blind, "t => t.pair[0]"), test(blind, "t => t.pair[1]")]
    assert [row["x"] for row in rows] == [names[x] for x in script]
    assert [row["answer"] for row in rows] == [names[answer] for answer in answers]


def test_the_p_value_is_scipy_s(blind):
    pairs = [(k, n) for n in (1, 2, 5, 10, 16, 25, 100) for k in {0, 1, n // 2, n - 1, n}]
    found = blind.evaluate(
        "(section, pairs) => pairs.map((pair) => section.blindTest.tail(...pair))", pairs
    )
    for (right, trials), p in zip(pairs, found, strict=True):
        wanted = binomtest(right, trials, alternative="greater").pvalue
        assert p == pytest.approx(wanted, rel=1e-12), (right, trials)


def test_x_is_drawn_evenly(blind):
    draws = blind.evaluate("s => Array.from({ length: 6000 }, () => s.blindTest.draw(3))")
    counts = np.bincount(draws, minlength=3)
    # Five standard deviations of a binomial: once in a million runs.
    assert len(counts) == 3 and abs(counts - 2000).max() < 5 * (6000 * 2 / 9) ** 0.5


def test_x_tells_nothing_before_the_answer(blind):
    """The three listen buttons look alike whatever X is, and every sound has the same level."""
    heard(blind)
    levels = test(blind, "t => t.transport.voices.map(v => v.level)")
    # X is as loud as the one that it is, and all are equally loud.
    gains = test(blind, "t => t.transport.gains")
    assert levels == [0, 0, gains[2]] and gains[2] in gains[:2] and max(gains) == 1
    assert test(blind, "t => t.transport.loop")
    # The playhead is held, because it moves with the sound whatever X is.
    before, after = blind.evaluate(
        """section => {
            const test = section.blindTest, html = () => section.querySelector(".blind").outerHTML;
            Object.defineProperty(test.transport, "position", { get: () => 1, set: () => {} });
            return [false, true].map((isX) => {
                test.isX = () => isX;
                test.show();
                return html();
            });
        }"""
    )
    assert after == before


def test_a_switch_goes_through_silence(blind):
    """Also from a sound to the same sound: rendered offline, X = A dips as X = B does."""
    dips = blind.evaluate(
        """async (section) => {
            const Blind = section.blindTest.transport.constructor;
            const rate = 48000, context = new OfflineAudioContext(1, rate, rate);
            const buffer = context.createBuffer(1, rate, rate);
            buffer.getChannelData(0).fill(1);
            const transport = new Blind([], 1, () => {}, context);
            transport.started = 0;
            transport.voices = [0, 1, 2].map((index) => transport.voice(buffer, index));
            context.suspend(0.5).then(() => { transport.select(2); context.resume(); });
            const output = (await context.startRendering()).getChannelData(0);
            const steps = output.slice(481).map((x, i) => Math.abs(x - output[i + 480]));
            return [Math.min(...output.slice(4800)), Math.max(...steps), output[47000]];
        }"""
    )
    lowest, steepest, after = dips
    assert lowest < 0.01 and after == pytest.approx(1)
    assert steepest < 2 / (0.005 * 48000)


def test_keys(page, blind):
    part(blind, "a").focus()
    page.keyboard.press("1")
    assert part(blind, "status").inner_text() == "Listen to X first."
    for key, index in (("b", 1), ("x", 2), ("a", 0)):
        page.keyboard.press(key)
        assert test(blind, "t => t.transport.selected") == index
        assert blind.locator(".blind-listen [aria-pressed=true]").inner_text() == key.upper()
    wait(blind, "s => s.blindTest.transport.voices.length === 3")
    page.keyboard.press("ArrowRight")
    assert test(blind, "t => t.transport.position") >= 0.5
    page.keyboard.press("2")
    assert "Trial 2 of 10." in part(blind, "status").inner_text()
    assert not test(blind, "t => t.transport.playing")
    assert page.evaluate("document.activeElement.dataset.part") == "a"
    part(blind, "play").press(" ")
    assert test(blind, "t => t.transport.playing")


def test_the_set_up_stays_while_a_test_runs(blind):
    heard(blind)
    part(blind, "is-a").click()
    assert part(blind, "version-a").is_disabled() and part(blind, "planned").is_disabled()
    part(blind, "again").click()
    assert part(blind, "version-a").is_enabled()
    assert not part(blind, "results").is_visible()
    assert part(blind, "status").inner_text() == "Trial 1 of 10."


def test_no_more_trials_than_planned(blind):
    run(blind, lambda _: True, 5)
    heard(blind)
    part(blind, "is-a").click(force=True)
    assert part(blind, "right").inner_text().endswith("of 5")
    assert part(blind, "is-a").get_attribute("aria-disabled") == "true"


def test_any_two_versions_of_any_clip(page, blind):
    clips = part(blind, "clip").locator("option")
    titles = page.locator(".player-title").all_inner_texts()
    assert clips.count() > 2
    assert all(any(t in text for t in titles) for text in clips.all_inner_texts()[1:])
    for clip in range(1, clips.count()):
        part(blind, "clip").select_option(index=clip)
        names = part(blind, "version-a").locator("option").all_inner_texts()
        for a in names:
            part(blind, "version-a").select_option(a)
            others = part(blind, "version-b").locator("option").all_inner_texts()
            assert sorted([a, *others]) == sorted(names)
            part(blind, "version-b").select_option(others[-1])
            assert test(blind, "t => t.pair") == [a, others[-1]]
            assert f"A is {a}, B is {others[-1]}" in part(blind, "names").inner_text()


def test_any_clip_has_both_versions(blind):
    names = part(blind, "version-a").locator("option").all_inner_texts()
    for a in names:
        part(blind, "version-a").select_option(a)
        for b in part(blind, "version-b").locator("option").all_inner_texts():
            part(blind, "version-b").select_option(b)
            assert test(blind, "t => t.pair.every((name) => name in t.clip.sounds)")


def test_one_sound_at_a_time(page, blind, player):
    heard(blind)
    player.get_by_role("button", name="play", exact=True).click()
    assert not test(blind, "t => t.transport.playing")
    heard(blind)
    assert not player.evaluate("p => p.player.transport.playing")


def test_without_scripts_it_says_so(browser, path):
    with opened(browser, path, java_script_enabled=False) as page:
        blind = page.locator("#blind-test")
        assert blind.get_by_text("needs scripts, and they are off").is_visible()
        assert not blind.locator(".blind").is_visible()


def test_on_a_narrow_screen(browser, path):
    with opened(browser, path, width=360, has_touch=True) as page:
        blind = page.locator("#blind-test")
        part(blind, "x").tap()
        wait(blind, "s => s.blindTest.transport.voices.length === 3")
        part(blind, "planned").select_option("5")
        for _ in range(5):
            part(blind, "x").tap()
            part(blind, "is-b").tap()
        blind.locator("summary").tap()
        assert blind.locator("tbody tr").count() == 5
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
