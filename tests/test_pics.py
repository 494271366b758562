"""The diagrams: in step with their script, well-formed, legible wherever they are shown."""

import importlib.util
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "pics"
SVG = "{http://www.w3.org/2000/svg}"
NAMES = sorted(
    f"{name}{end}" for name in ("dcunet", "noise_pipeline", "wavenet") for end in ("", "-narrow")
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("draw", FOLDER / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parse(name):
    return ElementTree.parse(FOLDER / f"{name}.svg").getroot()


def extent(text):
    """(left, top, right, bottom) of a text element in a usual sans serif, in pixels."""
    size, x, y = (float(text.get(key)) for key in ("font-size", "x", "y"))
    width = 0.52 * size * len(text.text)
    left = x - {"start": 0, "middle": width / 2, "end": width}[text.get("text-anchor")]
    return left, y - 0.75 * size, left + width, y + 0.2 * size


def test_every_diagram_is_drawn_by_the_script(script):
    assert sorted(script.DIAGRAMS) == NAMES == sorted(path.stem for path in FOLDER.glob("*.svg"))


@pytest.mark.parametrize("name", NAMES)
def test_diagram_is_what_the_script_draws(name, script):
    drawn, kept = str(script.DIAGRAMS[name]()), (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert drawn == kept, "out of step: run `python pics/draw.py`"


@pytest.mark.parametrize("name", NAMES)
def test_text_stays_on_the_card_and_apart(name):
    root = parse(name)
    width, height = float(root.get("width")), float(root.get("height"))
    texts = root.findall(f".//{SVG}text")
    assert len(texts) > 8
    for text in texts:
        left, top, right, bottom = extent(text)
        assert left > 4 and top > 4 and right < width - 4 and bottom < height - 4, text.text
    for one, other in combinations(texts, 2):
        a, b = extent(one), extent(other)
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one.text, other.text)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_light_by_day_is_dark_by_night(name):
    """Text is light by night, so that no box it stands on may stay pale."""
    root = parse(name)
    by_night = root.find(f"{SVG}style").text
    boxes = [each for each in root.findall(f".//{SVG}rect") if float(each.get("width")) > 30]
    assert len(boxes) > 0
    for fill in {each.get("fill") for each in boxes} - {"none"}:
        assert f'[fill="{fill}"]' in by_night, fill


@pytest.mark.parametrize("name", NAMES)
def test_diagram_stands_alone_on_any_background(name):
    root = parse(name)
    card = root.find(f"{SVG}rect")
    assert (
        card.get("fill") == "#fbfbfa" and float(card.get("width")) == float(root.get("width")) - 1
    )
    assert root.find(f"{SVG}title").text
    source = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    # No script, nothing fetched, no font of its own; text stays text.
    assert not any(
        word in source for word in ("<script", "href", "<image", "@font-face", "url(http")
    )
    assert len(source) < 150_000
