"""Figures: what is drawn, how it is shown, and that it reads by day, by night and in grey."""

import re
from itertools import combinations
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.text import Text
from page_fixture import captured, voice

from denoise_lib import names
from denoise_lib.data.default_corpora import VOICES
from denoise_lib.display import figures, narrow, spectra, style
from denoise_lib.display.show import show, table
from denoise_lib.display.style import DARK, INK, PAPER

HISTORY = [
    {"step": 0, "loss": -0.5},
    {"step": 10, "loss": -0.7, "valid": -0.72},
    {"step": 20, "loss": -0.8, "valid": -0.84},
    {"step": 30, "loss": -0.9, "valid": None},
]


def shown(figure, caption="A caption"):
    """(html, svg) of a figure as a notebook would hold it."""
    with captured() as pieces:
        show(figure, caption)
    (html,) = pieces
    return html, drawn(html)[0]


def drawn(html):
    """The SVG images of a figure: for narrow screens and for wide ones."""
    return [unquote(each) for each in re.findall(r'"data:image/svg\+xml,([^"]+)"', html)]


VALUES = {"both": {"noisy": [-0.8, -0.7, None], "dcunet": [-0.9, -0.95, float("nan")]}}
SWEPT = {
    "noisy": [(-0.2, None), (-0.4, None)],
    "unet": [(-0.8, [-0.85, -0.75]), (-0.9, [-0.91, -0.88])],
}
DIFFERENT = [
    {"a": "unet", "b": "dcunet", "metric": metric, "condition": condition, "mean": mean}
    | {"ci95": interval, "n": 6, "total": 6, "voices": 3}
    for metric, condition, mean, interval in (
        ("si_sdr", "both", 1.5, [1.0, 1.8]),
        ("stoi", "both", -0.033, [-0.05, 0.021]),
        ("si_sdr", "street", None, None),
    )
]
DRAWN = {
    "forest": lambda: figures.forest(DIFFERENT),
    "spectrograms": lambda: spectra.spectrograms({"clean": voice(seconds=1.0)}),
    "training_curves": lambda: figures.training_curves({"dcunet": HISTORY, "wavenet": HISTORY}),
    "scores_distribution": lambda: figures.scores_distribution(VALUES),
    "sweep": lambda: figures.sweep([-5, 0], SWEPT, "SNR (dB)", "wSDR"),
}


@pytest.fixture(params=DRAWN)
def figure(request):
    return DRAWN[request.param]()


def test_the_best_of_a_curve_is_the_score_of_the_weights_that_were_kept():
    kept = {"step": 30, "loss": 0.1, "valid": -0.85, "valid_loss": 0.1}
    other = {"step": 20, "loss": 0.2, "valid": -0.9, "valid_loss": 0.2}
    assert figures._kept([other, kept, {"step": 40, "loss": 0.1, "valid": None}]) == -0.85
    assert figures._kept([{"step": 1, "valid": -0.5}, {"step": 2, "valid": -0.4}]) == -0.5


def test_every_axis_says_what_it_shows(figure):
    plots = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    assert any(axis.get_xlabel() for axis in plots)
    named = [axis for axis in plots if axis.get_ylabel() or axis.get_yticklabels()]
    assert named
    html, svg = shown(figure)
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")
    assert "A caption" in html and "<figcaption>" in html


def test_a_figure_has_light_and_dark_tones_and_loads_nothing(figure):
    _, svg = shown(figure)
    style = re.search(r"<style>(.*?)</style>", svg)[1]
    assert f":{PAPER}" in style and f":{DARK[PAPER]}" in style
    assert "prefers-color-scheme: dark" in style
    assert INK not in svg.replace(style, ""), "a tone that does not change with the page"
    assert not re.findall(r"(?:href|src)=\"(?!#|data:)", svg)


def test_a_figure_is_one_address_and_whatever_is_written_in_it_stays():
    figure = figures.training_curves({"dcunet": HISTORY})
    title = """it's "50 %" & <#1> – a  space"""
    figure.axes[0].set_title(title)
    _, svg = shown(figure)
    texts = {each.text for each in ElementTree.fromstring(svg).iter()}
    assert title.replace("  ", " ") in texts  # as a browser shows two spaces
    html, _ = shown(spectra.spectrograms({"clean": voice(seconds=1.0)}))
    for address in re.findall(r'(?:src|srcset)="([^"]+)"', html):
        assert address.startswith("data:image/svg+xml,") and not re.search(r"[\s<>#&]", address)


def test_figures_are_closed_and_invisible_to_pyplot():
    figure = spectra.spectrograms({"clean": voice(seconds=0.2)})
    assert not pyplot.get_fignums()  # the notebook would show it a second time
    shown(figure)
    assert not figure.axes


def test_style_does_not_leak_into_the_notebook():
    before = dict(matplotlib.rcParams)
    shown(spectra.spectrograms({"clean": voice(seconds=0.2)}))
    assert dict(matplotlib.rcParams) == before


def test_the_same_figure_gives_the_same_bytes():
    one, other = (shown(spectra.spectrograms({"clean": voice(seconds=0.2)})) for _ in range(2))
    assert one == other


def test_captions_are_escaped_and_minus_signs_set():
    html, _ = shown(style.subplots()[0], 'wSDR -0.9 < -0.8, a "dot"')
    written = "wSDR −0.9 &lt; −0.8, a &quot;dot&quot;"
    assert f"<figcaption>{written}</figcaption>" in html and f'alt="{written}"' in html


def test_full_scale_sine_is_0_db():
    time = np.arange(16000) / 16000
    # 1 kHz is a bin centre of the 512-sample window: no scalloping.
    levels = spectra.spectrogram_db(np.sin(2 * np.pi * 1000 * time))
    assert levels[32, 60] == pytest.approx(0, abs=0.01)
    assert levels[32, 60] == levels[:, 60].max()
    half = spectra.spectrogram_db(0.5 * np.sin(2 * np.pi * 1000 * time))
    assert half[32, 60] == pytest.approx(-6.02, abs=0.01)


def test_spectrograms_share_range_and_map():
    quiet, loud = 0.001 * voice(seconds=0.5), voice(seconds=0.5)
    figure = spectra.spectrograms({"clean": loud, "noisy": quiet})
    images = [axis.images[0] for axis in figure.axes[:2]]
    assert {image.get_clim() for image in images} == {spectra.DB_RANGE}
    assert len({image.get_cmap().name for image in images}) == 1
    # Frequency in kHz, time in seconds.
    assert images[0].get_extent() == [0, 0.5, 0, 8]


def test_colour_map_rises_in_lightness():
    red, green, blue, _ = matplotlib.colormaps[spectra.COLOUR_MAP](np.linspace(0, 1, 32)).T
    grey = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    assert (np.diff(grey) > 0).all()


def test_training_curves_leave_out_what_is_missing():
    figure = figures.training_curves({"dcunet": HISTORY})
    loss, valid = figure.axes[0].lines[:2]
    assert list(loss.get_xdata()) == [0, 10, 20, 30]
    assert list(valid.get_ydata()) == [-0.72, -0.84]
    assert figure.axes[0].get_ylabel() == "wSDR, −1 is perfect"


def test_a_loss_that_is_no_wsdr_has_an_axis_of_its_own():
    history = [{**entry, "loss": 0.1} for entry in HISTORY]
    above, below = figures.training_curves({"wavenet": history}).axes
    assert (
        above.get_ylabel() == "training loss"
        and below.get_ylabel() == "validation wSDR, −1 is perfect"
    )
    assert list(above.lines[0].get_ydata()) == [0.1] * 4
    assert list(below.lines[0].get_ydata()) == [-0.72, -0.84]


@pytest.mark.parametrize("loss", [0.4, -0.2])
def test_of_several_losses_only_those_that_are_wsdr_are_drawn_on_its_axis(loss):
    other = [{**entry, "loss": loss} for entry in HISTORY]
    figure = figures.training_curves({"repair": HISTORY, "speech": other}, ["speech"])
    above, below = figure.axes
    assert "speech" in above.get_title("left") and "repair" not in above.get_title("left")
    assert [list(line.get_ydata()) for line in above.lines] == [[loss] * 4]
    drawn = [list(line.get_ydata()) for line in below.lines]
    assert [entry["loss"] for entry in HISTORY] in drawn and [loss] * 4 not in drawn
    assert drawn.count([-0.72, -0.84]) == 2


def test_a_forest_has_a_part_for_each_measure_with_its_numbers():
    ratio, stoi = figures.forest(DIFFERENT).axes
    assert "SI-SDR, dB" in ratio.get_xlabel() and "right is better" in ratio.get_xlabel()
    assert "6 clips of 3 voices" in stoi.get_title("left")
    assert [each.get_text() for each in ratio.get_yticklabels()] == [
        "zeroing and raising",
        "street noise",
    ]
    drawn = [list(line.get_xdata()) for line in ratio.lines]
    assert [1.5] in drawn and [1.0, 1.8] in drawn
    (right,) = ratio.child_axes
    assert [each.get_text() for each in right.get_yticklabels()] == ["1.5 [1.0, 1.8]", "–"]
    (right,) = stoi.child_axes
    assert [each.get_text() for each in right.get_yticklabels()] == ["−0.033 [−0.050, 0.021]"]
    others = [{**row, "b": other} for row in DIFFERENT for other in ("dcunet", "rnnoise")]
    (axis,) = figures.forest([row for row in others if row["metric"] == "stoi"]).axes
    named = [each.get_text() for each in axis.get_yticklabels()]
    assert named == ["U-Net minus DCUnet", "U-Net minus RNNoise"]


def test_distribution_shows_every_scored_clip():
    values = {"both": {"noisy": [-0.8, None, float("nan"), -0.6]}}
    dots = figures.scores_distribution(values).axes[0].collections[0].get_offsets()
    assert sorted(dots[:, 0]) == [-0.8, -0.6]


def test_sweep_draws_means_and_intervals_over_the_setting():
    figure = DRAWN["sweep"]()
    (axis,) = figure.axes
    assert [list(line.get_xdata()) for line in axis.lines] == [[-5, 0]] * 2
    assert [list(line.get_ydata()) for line in axis.lines] == [[-0.2, -0.4], [-0.8, -0.9]]
    assert [line.get_color() for line in axis.lines] == [*map(names.colour, SWEPT)]
    assert len({line.get_marker() for line in axis.lines}) == 2  # to tell them apart in grey
    band = axis.collections[1].get_paths()[0].vertices
    corners = {(-5, -0.85), (-5, -0.75), (0, -0.91), (0, -0.88)}
    assert {tuple(each) for each in band.tolist()} == corners
    flat = axis.collections[0].get_paths()[0].vertices  # no interval: no width
    assert {tuple(each) for each in flat.tolist()} == {(-5, -0.2), (0, -0.4)}
    assert list(axis.get_xticks()) == [-5, 0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("SNR (dB)", "wSDR")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["noisy", "U-Net"]


def test_table_sets_numbers_right_and_missing_ones_as_dashes():
    with captured() as pieces:
        rows = [["a<b", -0.5, 12, "0.1 [0.0, 0.2]"], ["c", None, 642112, ""]]
        table(rows, ["name", "wSDR", "n", "difference"], "Caption")
    (html,) = pieces
    assert html.count('<td class="number">') == 6 and html.count('<th scope="row">') == 2
    for text in ("a&lt;b", "−0.500", ">–<", "642\N{NARROW NO-BREAK SPACE}112", "<caption>Caption"):
        assert text in html


def test_a_column_has_the_decimals_of_what_it_is_headed_by():
    columns = ["wSDR", "SI-SDR", "SI-SDR noisy", "PESQ", "training, s", "share"]
    with captured() as pieces:
        table([[-0.94117, 7.4179, 7.4179, 2.3456, 179.89, 0.25123]], columns, decimals=4)
    shown = re.findall(r"<td[^>]*>(.*?)</td>", pieces[0])
    assert shown == ["−0.941", "7.4", "7.4", "2.35", "180", "0.2512"]
    assert '<th scope="col" class="number">SI-SDR, dB</th>' in pieces[0]


def test_a_figure_is_drawn_for_wide_and_for_narrow_screens():
    conditions = {"zero": VALUES["both"], "raise": VALUES["both"]}
    html, _ = shown(figures.scores_distribution(conditions))
    widths = [
        float(re.search(r"<svg [^>]*width='([\d.]+)pt'", each)[1]) * 4 / 3 for each in drawn(html)
    ]
    assert widths[0] < 358 < 700 < widths[1]
    assert '<source media="(max-width: 34rem)"' in html


LONG = [
    {**DIFFERENT[0], "a": a, "b": "dcunet", "condition": condition, "metric": metric, "mean": mean}
    for metric, mean in (("wsdr", -0.034), ("si_sdr", 3.5))
    for a, condition in (
        ("repair", "zero"),
        ("repair", "both"),
        ("speech", "street"),
        ("unet-street", "street"),
    )
]
MANY = {name: [(-0.8, None)] * 9 for name in ("noisy", "DCUnet, as it is", "DCUnet, retrained")}
PATCH = np.eye(17, 13)
NARROWED = DRAWN | {
    "forest of two measures": lambda: figures.forest(LONG),
    "six curves": lambda: figures.training_curves(
        {
            **dict.fromkeys(("zero", "raise", "both"), HISTORY),
            "speech": [{**entry, "loss": 0.4} for entry in HISTORY],
        }
    ),
    "close ticks": lambda: figures.sweep(
        [-12, -6, -3, -1, 0, 1, 3, 6, 12], MANY, "gain (dB)", "wSDR, lower is better"
    ),
    "three patches": lambda: spectra.patches(
        {"zeroed": dict.fromkeys(("lost", "DCUnet adds", "repair adds"), PATCH)},
        "mask, dB",
        bin_width=25,
        frame_step=10,
    ),
    "two pictures": lambda: spectra.touched(
        torch.ones(321, 120, dtype=torch.cfloat),
        (torch.rand(1, 321, 120) > 0.9, torch.rand(1, 321, 120) > 0.8),
        rate=16000,
        hop=160,
    ),
}


def texts_of(figure):
    """[(text, its box in pixels)] of all that is written in a figure, as it is laid out."""
    figure.draw_without_rendering()
    # Labels of ticks beyond the ends of their axis are kept, but not drawn.
    beyond = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return [(text.get_text(), text.get_window_extent()) for text in found if text not in beyond]


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROWED)
def test_on_a_phone_no_text_is_cut_off_or_overprinted(name):
    figure = NARROWED[name]()
    with matplotlib.rc_context(style.STYLE):
        narrow.make_narrow(figure)
        texts = texts_of(figure)
    assert figure.get_figwidth() == narrow.WIDTH and len(texts) > 5
    for text, box in texts:
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, f"{text!r} is cut off"
    for (one, first), (other, second) in combinations(texts, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        high = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert wide <= 1 or high <= 3, f"{one!r} is printed over {other!r}"


def test_a_condition_is_written_out_in_every_figure():
    figure = figures.scores_distribution({"zero": VALUES["both"], "both": VALUES["both"]})
    rows = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert rows[0] == "zeroing alone: noisy" and rows[-1] == "zeroing and raising: DCUnet"
    assert spectra.spectrograms({"raise": voice(seconds=0.2)}).axes[0].get_title("left") == (
        "raising alone"
    )


def test_curves_of_one_colour_differ_in_their_line():
    curves = {"street, dcunet": SWEPT["noisy"], "street, dcunet, retrained": SWEPT["unet"]}
    one, other = figures.sweep([-5, 0], curves, "SNR (dB)", "wSDR").axes[0].lines
    assert one.get_color() == other.get_color()
    assert one.get_linestyle() != other.get_linestyle()


def test_table_of_dicts():
    with captured() as pieces:
        table([{"a": 1, "b": 2.0}], {"b": "heading of b"})
    assert "heading of b" in pieces[0] and "2.000" in pieces[0] and ">1<" not in pieces[0]


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), [], [1.0, float("nan")]])
def test_only_one_finite_waveform_is_drawn(bad):
    with pytest.raises(ValueError):
        spectra.as_array(bad)


def test_torch_and_numpy_draw_the_same():
    speech = voice(seconds=0.2)
    assert (spectra.as_array(speech) == spectra.as_array(speech.numpy())).all()
    assert spectra.as_array(torch.zeros(1)).shape == (1,)


def contrast(one, other):
    lights = []
    for tone in (one, other):
        shares = [int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


def oklab(tone):
    """A colour in Ottosson's Oklab, where equal distances look about equal."""
    shares = np.array([int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(
        np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        )
        @ linear
    )
    return (
        np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        )
        @ cones
    )


def test_no_two_colours_can_be_taken_for_each_other():
    known = {**names.MODELS, **names.VERSIONS, **names.CONDITIONS}
    tones = {each.colour for each in known.values()} | {names.OTHER_COLOUR}
    for one, other in combinations(tones, 2):
        assert np.linalg.norm(oklab(one) - oklab(other)) > 0.09, (one, other)


@pytest.mark.parametrize("paper", [PAPER, DARK[PAPER]])
def test_colours_stand_out(paper):
    known = {**names.MODELS, **names.VERSIONS, **names.CONDITIONS}
    own = [each.colour for each in known.values() if each.colour != names.OTHER_COLOUR]
    assert len(set(own)) == len(own) > 8
    tones = [*own, names.OTHER_COLOUR]
    assert names.colour("zero") == spectra.FATE[1] and names.colour("raise") == spectra.FATE[2]
    # WCAG 2.2, 1.4.11: graphics need 3:1.
    assert all(contrast(tone, paper) >= 3 for tone in tones), tones


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("dcunet, retrained", "dcunet"),
        ("street: dcunet", "dcunet"),
        ("Clean", "clean"),
        ("unet-street", "unet-street"),
        ("repair, explained", "repair"),
    ],
)
def test_a_version_has_the_colour_of_what_it_is(name, same):
    assert names.colour(name) == {**names.MODELS, **names.VERSIONS}[same].colour
    assert names.colour("something else") == names.OTHER_COLOUR


def test_names_are_written_by_whole_words():
    assert names.label("again, unet-varied") == "again, U-Net-varied"
    assert names.label("street, dcunet, gain") == "street, DCUnet, half the volume"
    assert names.label("unet-street") == "street U-Net" and names.label("units") == "units"


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.9411, "−0.941"), (0.0, "0.000"), (-0.0001, "0.000"), (None, "–"), (float("nan"), "–")],
)
def test_numbers(value, text):
    assert names.number(value) == text


def test_scores_have_the_places_of_their_measure():
    assert names.score("si_sdr", 14.26) == "14.3\N{NO-BREAK SPACE}dB"
    assert names.score("pesq", 3.111) == "3.11"
    assert names.score("pesq", None) == "–"


def test_prose_sets_minus_signs_but_keeps_hyphens():
    assert names.prose("from -0.8 to [-1, 1], vm-1 and 2-3") == "from −0.8 to [−1, 1], vm-1 and 2-3"
    apart = "the network's input, volunteers' voices, trains 'light'."
    assert names.prose(apart) == "the network’s input, volunteers’ voices, trains 'light'."


def test_differences_that_there_are_none_of_are_an_empty_figure():
    """A notebook that compares by other measures than the plot's has none to draw."""
    assert not figures.forest([]).axes


def test_a_language_is_written_in_words():
    assert set(names.LANGUAGES) == set(VOICES)
    assert [names.language(code) for code in ("ru", "room_3")] == ["Russian", "room_3"]
