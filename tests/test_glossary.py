"""The glossary, the numbers of figures and tables, and the links of a finding's numbers."""

import re

import pytest

from denoise_lib.report.glossary import TERMS, linked
from denoise_lib.report.numbering import numbered
from denoise_lib.report.sources import with_sources


def links(html):
    return re.findall(r'<a class="term" href="#([^"]+)">([^<]+)</a>', linked(html))


def test_the_measures_are_in_the_glossary():
    names = [term.name for term in TERMS]
    assert {"wSDR", "SNR", "SI-SDR", "LSD", "PESQ", "STOI", "DNSMOS"} <= set(names)
    assert names == sorted(names, key=str.lower) and len({t.anchor for t in TERMS}) == len(TERMS)


def test_the_first_mention_in_each_block_is_a_link():
    assert links("<p>wSDR, SI-SDR and wSDR.</p><p>wSDR</p>") == [
        ("term-wsdr", "wSDR"),
        ("term-si-sdr", "SI-SDR"),
        ("term-wsdr", "wSDR"),
    ]
    assert links("<ul><li>A <em>mask</em></li><li>masks</li></ul>") == [
        ("term-mask", "mask"),
        ("term-mask", "masks"),
    ]


@pytest.mark.parametrize(
    "html",
    [
        "<h3>wSDR</h3>",
        "<p><a href='#x'>wSDR</a></p>",
        "<p><code>mask</code></p>",
        '<p class="player-title">wSDR</p>',
        '<div class="player"><p>wSDR</p></div>',
        '<p><img alt="wSDR &gt; 0"></p>',
        '<p title="a > b, wSDR">unmasked</p>',
        "wSDR",
    ],
)
def test_where_a_mention_is_no_link(html):
    assert linked(html) == html


def test_captions_are_numbered_apart_and_those_of_players_are_not():
    html = numbered(
        '<figure class="figure"><figcaption>one</figcaption></figure>'
        '<figure class="player-version"><figcaption>clean</figcaption></figure>'
        "<table><caption>first</caption></table>"
        '<figure class="figure"><figcaption>two</figcaption></figure><script>"<caption>"</script>'
    )
    found = re.findall(r'id="((?:figure|table)-\d)" href="#\1">(\w+ \d)</a> (\w+)', html)
    assert found == [
        ("figure-1", "Figure 1", "one"),
        ("table-1", "Table 1", "first"),
        ("figure-2", "Figure 2", "two"),
    ]
    assert html.count('class="label"') == 3


ROW = {"metric": "wsdr", "noisy": -0.8017, "denoised": -0.9741}
RATIO = {"metric": "si_sdr", "noisy": 7.62, "denoised": 15.4}


def test_the_numbers_of_a_finding_lead_to_their_rows():
    text = "From −0.802 to −0.974 [−0.978, −0.974], 15.4\N{NO-BREAK SPACE}dB. Not 15.43 & 1."
    html = with_sources(text, [ROW, RATIO], lambda row: row["metric"])
    assert re.findall(r'href="#(\w+)">([^<]+)<', html) == [
        ("wsdr", "−0.802"),
        ("wsdr", "−0.974"),
        ("si_sdr", "15.4\N{NO-BREAK SPACE}dB"),
    ]
    assert "&amp; 1." in html
