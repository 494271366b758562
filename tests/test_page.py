"""The page as a file: what is in it, that its numbers are those of results.json, its flags."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from page_fixture import COMMIT, NETWORK_OF, own_clone, shared_clone

from denoise_lib.display import player
from denoise_lib.errors import UserError
from denoise_lib.names import number, score
from denoise_lib.report import glance, page, sections
from denoise_lib.report.findings import findings
from denoise_lib.report.listen_first import listen_first
from denoise_lib.report.page import store_once


@pytest.fixture(scope="module")
def text():
    return (shared_clone() / "report" / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results():
    return json.loads((shared_clone() / "report" / "results.json").read_text())


@pytest.fixture
def clone(tmp_path):
    """A clone of one's own, with two runs, to break."""
    return own_clone(tmp_path, runs=("01_noise_design", "04_dcunet"))


def built(clone, profile="quick"):
    return page.build(profile, clone).read_text(encoding="utf-8")


def change(clone, name, **values):
    path = clone / "report" / "build" / "quick" / name / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


class Cells(HTMLParser):
    """Rows of cell texts of the first table with a class."""

    def __init__(self, text, kind):
        super().__init__()
        self.rows = []
        self.feed(re.search(rf'<table class="{kind}">(.*?)</table>', text, re.DOTALL)[1])

    @classmethod
    def all(cls, text, kind):
        """Those of every table with this class."""
        return [
            cls(each, kind)
            for each in re.findall(rf'<table class="{kind}">.*?</table>', text, re.DOTALL)
        ]

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_nothing_is_loaded_from_elsewhere(text):
    loads = re.findall(r'(?:src|poster|data|action|srcset)="(?!data:)([^"]{1,80})', text)
    assert not loads
    assert not re.findall(r"@import|url\((?!data:|%23)", text)  # %23: a part of the same figure
    links = re.findall(r"<link [^>]*>", text)
    assert links == ['<link rel="icon" href="data:,">']
    assert "default-src 'none'" in text
    for name in ("cdn", "require.js", "MathJax", "jquery"):
        assert name.lower() not in re.sub(r"[A-Za-z0-9+/=]{1000,}", "", text).lower()


def test_formulas_are_mathml(text):
    assert len(re.findall(r"<math display=\"inline\">", text)) >= 2
    assert '<math display="block">' in text and "<mfrac>" in text
    prose = re.sub(r"<details.*?</details>|<script.*?</script>", "", text, flags=re.DOTALL)
    assert "$" not in re.sub(r"base64,[^\"]+", "", prose)


def test_each_sound_is_stored_once(text):
    stored = re.findall(r'<audio id="sound-(\w+)"', text)
    assert stored and len(stored) == len(set(stored)) == text.count("data:audio/flac")
    linked = re.findall(r'href="#sound-(\w+)"', text)
    assert linked and set(linked) <= set(stored)


def test_style_and_script_of_the_player_are_there_once(text):
    assert text.count("window.denoisePlayers = {") == 1
    assert text.count(".player .player-screen {") == 1
    assert player.ASSETS[0] not in text


def test_results_at_a_glance_are_results_json(text, results):
    tables = [each.rows for each in Cells.all(text, "glance")]
    groups = glance.groups(glance.lines(results))
    assert [len(table) - 1 for table in tables] == [len(group) for group in groups] == [3, 2]
    for table, group in zip(tables, groups, strict=True):
        for cells, line in zip(table[1:], group, strict=True):
            check_line([" ".join(cell.split()) for cell in cells], line, glance.models(group))


def check_line(cells, line, models):
    """Assert that a line of the head table holds its numbers, and no others."""
    ratios = [score("si_sdr", row["noisy"]) for row in line.si_sdr.values()][:1]
    assert cells[0].startswith(line.name)
    assert cells[1] == " ".join([number(line.noisy), *ratios])
    assert cells[2] == (number(line.volume_alone["denoised"]) if line.volume else "–")
    noisy, best, _ = line.original
    assert cells[3] == f"{glance.as_given(best)} from {glance.as_given(noisy)}"
    for cell, model in zip(cells[4:-1], models, strict=True):
        row, ratio = line.rows.get(model), line.si_sdr.get(model)
        low, high = map(number, row["ci95"]) if row else ("", "")
        after = [score("si_sdr", ratio["denoised"])] if ratio else []
        words = " ".join([f"{number(row['denoised'])} [{low}, {high}]", *after]) if row else "–"
        assert cell == words
    assert cells[-1] == glance.OUTCOMES[line.outcome]


def test_every_row_of_results_json_is_on_the_page(text, results):
    table = Cells(text, "every").rows[1:]
    assert len(table) == len(results["results"])
    for cells, row in zip(table, results["results"], strict=True):
        assert cells[0] == row["experiment"]
        assert cells[7] == number(row["denoised"])


def test_every_measurement_of_results_json_is_on_the_page(text, results):
    table = Cells(text, "measurements").rows[1:]
    assert len(table) == len(results["measurements"]) == len(NETWORK_OF)
    assert [cells[4] for cells in table] == ["12.5\N{NO-BREAK SPACE}s"] * len(NETWORK_OF)


def test_every_line_links_to_the_output_of_the_cell_that_made_it(text, results):
    for kind in ("results", "measurements"):
        table = re.search(
            rf'<table class="{"every" if kind == "results" else kind}">(.*?)</table>',
            text,
            re.DOTALL,
        )[1]
        rows = re.findall("<tr><td>.*?</tr>", table, re.DOTALL)
        assert len(rows) == len(results[kind])
        for row, line in zip(rows, results[kind], strict=True):
            linked = set(re.findall('href="#([^"]+)"', row))
            assert linked == {glance.section(line), f"{glance.section(line)}-cell-{line['cell']}"}
            assert all(f'id="{each}"' in text for each in linked)


def test_each_number_links_to_its_section(text):
    anchors = set(re.findall(r'\bid="([^"]+)"', text))
    linked = set(re.findall(r'href="#([^"]*)"', text))
    assert linked <= anchors
    assert {"02_autoencoder", "03_wavenet", "04_dcunet", "05_street_noise"} <= linked


def test_ids_are_unique(text):
    anchors = re.findall(r'\bid="([^"]+)"', re.sub(r"<math.*?</math>", "", text))
    assert len(anchors) == len(set(anchors))


def test_findings_are_made_of_the_numbers_and_lead_to_them(text, results):
    found = findings(results)
    assert 2 <= len(found) <= 6
    said = " ".join(each.text for each in found)
    rows = {(r["condition"], r["model"], r["split"], r["metric"]): r for r in results["results"]}
    best = rows["both", "dcunet", "test", "wsdr"]
    assert f"from {number(best['noisy'])} to {number(best['denoised'])}" in said
    moved = [{**row, "denoised": row["denoised"] + 0.05} for row in results["results"]]
    assert [each.text for each in findings(results | {"results": moved})] != [
        each.text for each in found
    ]
    items = re.findall(
        r"<li [^>]*>(.*?)</li>", re.search(r'<ol class="findings">(.*?)</ol>', text, re.S)[1], re.S
    )
    for item, each in zip(items, found, strict=True):
        section = glance.section(each.row)
        assert re.search(rf'href="#{section}(-cell-\d+)?"', item), item


def test_numbers_of_findings_lead_to_the_row_that_holds_them_and_back(text):
    items = re.findall(r'<li id="(finding-\d)">(.*?)</li>', text, re.S)
    assert items
    for name, item in items:
        for anchor, written in re.findall(r'<a class="source" href="#([^"]+)">([^<]+)</a>', item):
            row = re.search(rf'<tr id="{anchor}">.*?</tr>', text, re.S)
            if row:
                assert written in row[0] and f'href="#{name}"' in row[0]
            else:
                assert f'id="{anchor}"' in text
    # From there a number leads to the table of its section, which holds it too.
    held = re.findall(r'<a href="#(scores-[^"]+)">([^<]+)</a>', text)
    assert held
    for anchor, written in held:
        assert written in re.search(rf'<tr id="{anchor}">.*?</tr>', text, re.S)[0]


def test_long_lists_wait_until_they_are_opened(text):
    for kind in ("every", "measurements"):
        before = text[: text.index(f'<table class="{kind}">')]
        assert before.rindex("<template>") > before.rfind("</template>")


HEADLINE = {
    "01_noise_design:volume": ["volume"],
    "04_dcunet": ["fixed"],
    "05_street_noise:before": ["before"],
    "05_street_noise:retrained": ["retrained"],
    "08_outside": ["fixed", "retrained"],
}


def of(*rows):
    """Content of a results.json with these rows."""
    return {"results": list(rows), "headline": HEADLINE}


def result(condition="both", model="dcunet", denoised=-0.95, ci95=(-0.96, -0.94), **more):
    row = {
        "experiment": "04_dcunet",
        "condition": condition,
        "model": model,
        "split": "test",
        "n": 9,
        "total": 9,
        "voices": 3,
        "metric": "wsdr",
        "noisy": -0.8,
        "denoised": denoised,
    }
    return row | {"ci95": list(ci95) if ci95 else None} | more


def test_clips_without_a_score_are_told_and_no_mean_is_best_by_them():
    """A network that fails on the worst clips has the lower mean of those that are left."""
    failing = result(model="repair", denoised=-0.99, ci95=(-0.995, -0.98), n=6)
    line, *_ = glance.lines(of(failing, result()))
    assert line.best[0] == "dcunet"
    line, *_ = glance.lines(of(failing))
    assert line.outcome == "incomplete" and glance.lacking(failing) == "6 of 9 clips"
    assert "not comparable" in glance.OUTCOMES[line.outcome]
    assert glance.over([line]) == "9 clips of 3 voices"


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (result(ci95=(-0.96, -0.94)), "beaten"),
        (result(ci95=(-0.95, -0.92)), "level"),
        (result(denoised=-0.91, ci95=(-0.92, -0.90)), "not reached"),
        (result(denoised=-0.93, ci95=None), "beaten"),
    ],
)
def test_against_the_original(row, outcome):
    (line,) = glance.lines(of(row))
    assert line.original == (-0.801, -0.926, "DCUnet")
    assert line.outcome == outcome


def test_the_shipped_network_has_a_column_of_its_own_where_it_was_trained():
    shipped = {"experiment": "08_outside", "model": "repair"}
    rows = [
        result(),
        result(denoised=-0.97, **shipped),
        result(denoised=-0.2, experiment="08_outside:compared", model="repair"),
        result("street", experiment="05_street_noise:before", denoised=-0.2),
        result("street", experiment="05_street_noise:retrained", denoised=-0.9),
        result("street", denoised=-0.93, experiment="08_outside", model="speech"),
    ]
    tuned = result("street", experiment="08_outside", model="unet-street", denoised=-0.92)
    both, before, retrained = glance.lines(of(*rows, tuned))
    assert retrained.rows["unet-street"] is tuned and "unet-street" not in both.rows
    assert both.best == ("repair", rows[1])
    assert list(before.rows) == ["dcunet"]
    assert retrained.rows["speech"] is rows[5]
    assert findings(of(*rows))[0].text.startswith(
        "On zeroing and raising, the network “repair” takes the mean"
    )
    assert "trained beforehand, for hours" in findings(of(*rows))[0].text


def ratio(row, noisy, denoised):
    """The SI-SDR beside a row."""
    return row | {"metric": "si_sdr", "noisy": noisy, "denoised": denoised, "ci95": None}


def volume(denoised, condition="both"):
    """A row of the noisy clips played louder."""
    return result(
        condition, "twice the volume", denoised, experiment="01_noise_design:volume", ci95=None
    )


def test_a_network_that_does_harm_is_said_to():
    """Zeroing: the autoencoder's wSDR improves, and its SI-SDR falls."""
    good, bad = (result("zero", model, -0.92) for model in ("dcunet", "autoencoder"))
    rows = [good, bad, ratio(good, 12.0, 12.5), ratio(bad, 12.0, 10.1)]
    (finding,) = findings(of(*rows))
    assert finding.text.replace("\N{NO-BREAK SPACE}", " ") == (
        "For zeroing alone, the autoencoder does harm: SI-SDR falls from 12.0 dB to 10.1 dB, "
        "although wSDR calls it an improvement."
    )


def test_a_diagram_fits_a_phone_and_is_on_the_page_once(tmp_path):
    for name in ("a.svg", "a-narrow.svg", "b.svg"):
        (tmp_path / name).write_text(f"<svg>{name}</svg>")
    both, alone = (sections.diagram(tmp_path / name, "It <x>") for name in ("a.svg", "b.svg"))
    held = [base64.b64decode(each).decode() for each in re.findall(r"base64,([^\"]+)", both)]
    assert held == ["<svg>a-narrow.svg</svg>", "<svg>a.svg</svg>"] and "It &lt;x&gt;" in both
    assert "<picture>" not in alone
    again = both.replace("It", "That")
    kept = store_once(f"{both}<p>{again}</p>{alone}{alone}")
    assert kept.count("<picture>") == 1 and kept.count('<p><a href="#head-picture">') == 1
    assert kept.count(alone) == 2


def test_the_page_says_where_fewer_clips_are_scored():
    usual = result(n=60, total=60, noisy=-0.803)
    few = result(n=6, total=6, noisy=-0.818, experiment="07_ideas")
    other_frames = result(n=4, total=4, noisy=-0.689, experiment="06_why_it_works:overlap 2")
    (line,) = glance.lines(of(usual))
    said = glance.subsets(of(usual, few, other_frames), [line])
    assert "between −0.803 and −0.818" in said
    assert glance.subsets(of(usual, other_frames), [line]) == ""


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ([], "beaten"),
        ([ratio(result(), 7.5, 12.0)], "beaten"),
        ([ratio(result(), 7.5, 7.4)], "harm"),
        ([volume(-0.92)], "beaten"),
        ([volume(-0.93)], "volume"),
    ],
)
def test_the_original_is_beaten_only_where_the_rest_agrees(more, outcome):
    (line,) = glance.lines(of(result(ci95=(-0.96, -0.94)), *more))
    assert line.outcome == outcome


def test_the_originals_rounding_counts():
    """It gives -0.99 for raising, which may be -0.9949."""
    for ci95, outcome in (((-0.9955, -0.993), "level"), ((-0.998, -0.996), "beaten")):
        (line,) = glance.lines(of(result("raise", denoised=-0.995, ci95=ci95)))
        assert line.outcome == outcome


def test_stages_of_street_noise_are_told_apart():
    rows = [
        result("street", experiment="05_street_noise:before", denoised=-0.5),
        result("street", experiment="05_street_noise:retrained", denoised=-0.9),
        result("street", metric="pesq", experiment="05_street_noise:retrained", denoised=3),
    ]
    assert [line.best[1]["denoised"] for line in glance.lines(of(*rows))] == [-0.5, -0.9]
    assert not glance.lines(of(result(denoised=None, noisy=None)))
    assert findings(of()) == []


def test_chart_places_better_scores_further_right():
    scores = (0.5, -0.3, -0.8, -0.94, -0.99, -1.0)
    places = [glance.place(score) for score in scores]
    assert places == sorted(places)
    assert places[0] == glance.LEFT and places[-1] == glance.RIGHT


def test_sections_hold_prose_evidence_and_folded_parts(text):
    part = re.search(r'<section id="04_dcunet".*?</section>', text, re.DOTALL)[0]
    assert "Can the DCUnet undo it?" in re.sub("</?a[^>]*>", "", part)
    assert 'class="verdict"' in part
    for fold in ("Parameters", "Code", "Log", "Provenance, and how to run it again"):
        assert f"<summary>{fold}</summary>" in part
    assert "make notebook NB=04_dcunet</pre>" in part
    # What a terminal would have written over is gone, colours and markup are text.
    assert "step 50/100" not in part and "step 100/100" in part
    assert "&lt;b&gt;in 3 s&lt;/b&gt;" in part and "\x1b" not in part


def test_headings_go_down_by_one_step(text):
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_listen_first_holds_every_network(text):
    part = re.search(r'<section id="listen".*?</section>', text, re.DOTALL)[0]
    assert re.findall(r'data-name="(\w+)"', part) == ["clean", "noisy", *NETWORK_OF.values()]
    assert 'data-seconds="2.5' in part


def test_listen_first_leaves_out_a_run_with_other_damage(tmp_path):
    clone = own_clone(tmp_path, runs=NETWORK_OF)
    example(clone, "03_wavenet", lambda entry: entry | {"key": "f" * 16}, of="noisy")
    player = listen_first(clone / "report" / "build" / "quick", sorted(NETWORK_OF))
    assert list(player.versions) == ["clean", "noisy", "autoencoder", "dcunet"]


def test_a_version_of_two_runs_has_sound_and_scores_of_the_first(tmp_path):
    clone = own_clone(tmp_path, runs=NETWORK_OF)
    runs = clone / "report" / "build" / "quick"
    before = listen_first(runs, sorted(NETWORK_OF)).scores["dcunet"]
    shutil.copytree(runs / "04_dcunet", runs / "08_outside")
    example(clone, "08_outside", lambda entry: entry | {"scores": {"wsdr": 0.5}})
    player = listen_first(runs, [*sorted(NETWORK_OF), "08_outside"])
    assert player.scores["dcunet"] == before != {"wsdr": 0.5}


def example(clone, name, change, of=None):
    """Change the versions of a run's example, or one of them."""
    path = clone / "report/build/quick" / name / "examples/both-clip-3.json"
    kept = json.loads(path.read_text())
    kept["versions"] = [
        change(each) if of in (None, each["name"]) else each for each in kept["versions"]
    ]
    path.write_text(json.dumps(kept))


def test_an_example_under_a_condition_without_a_name_is_played_too(clone):
    path = clone / "report/build/quick/04_dcunet/examples/both-clip-3.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"condition": "snow"}))
    player = listen_first(clone / "report" / "build" / "quick", ["04_dcunet"])
    assert player.title == "en/clip-3, snow" and player.listen_for


def test_the_sounds_at_the_head_are_those_of_the_sections(text):
    head = re.search(r'<section id="listen".*?</section>', text, re.DOTALL)[0]
    rest = text.replace(head, "")
    keys = re.findall(r'data-sound="(\w+)"', head)
    assert len(keys) == 2 + len(NETWORK_OF) and all(f'data-sound="{key}"' in rest for key in keys)


def test_no_example_no_player(clone):
    assert listen_first(clone / "report" / "build" / "quick", ["01_noise_design"]) is None


def test_results_json_of_the_page(results):
    assert results["profile"] == "quick"
    assert results["provenance"]["commit"] == COMMIT
    assert set(results["provenance"]["seconds"]) == {
        "01_noise_design",
        *NETWORK_OF,
        "05_street_noise",
    }
    assert {
        "experiment",
        "condition",
        "model",
        "split",
        "n",
        "metric",
        "noisy",
        "denoised",
        "ci95",
    } <= set(results["results"][0])


def test_the_precision_that_auto_came_to_is_told(clone):
    assert "precision of networks" not in built(clone)
    change(clone, "04_dcunet", precisions=["32-true", "bf16-mixed"])
    assert "<td>04_dcunet 32-true and bf16-mixed</td>" in built(clone)


def test_the_recordings_are_credited(text):
    part = re.search(r'<section id="credits".*?</section>', text, re.DOTALL)[0]
    for name in ("Allison Smith", "June Wallack", "Carlo Flora", "Maxim Topal", "CC BY-SA 3.0"):
        assert name in part
    assert "LinCity" not in part  # no run of the fixture has read the city recordings


def test_own_recordings_are_not_credited_to_others(clone):
    for name in ("01_noise_design", "04_dcunet"):
        change(clone, name, parameters={"speech": "/a/folder", "noise": "/another"})
    assert 'id="credits"' not in built(clone)


def test_a_section_not_run_says_how(clone):
    text = built(clone)
    part = re.search(r'<section id="03_wavenet".*?</section>', text, re.DOTALL)[0]
    assert "Not run yet" in part and "make notebook NB=03_wavenet</code>" in part
    assert "WaveNet" in part  # its title, from the notebook


def test_the_smoke_profile_says_that_its_numbers_mean_nothing(tmp_path, text):
    clone = own_clone(tmp_path, "smoke", runs=("01_noise_design",))
    assert "its numbers mean nothing" in built(clone, "smoke")
    assert "PROFILE=smoke" in built(clone, "smoke")
    assert "mean nothing" not in text


def test_a_page_made_alike_has_no_flags(text):
    assert "was run with other settings" not in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"commit": "f" * 40}, "commit ffffffffff"),
        ({"parameters": {"steps": 7, "seed": 0}}, "steps is 7, while the profile has 100"),
        ({"versions": {"torch": "2.9.1", "numpy": "2.4.0"}}, "torch 2.9.1, which most"),
        ({"machine": {"python": "3.13.1"}}, "made with Python 3.13.1, which most"),
    ],
)
def test_a_section_that_differs_is_flagged(tmp_path, values, message):
    clone = own_clone(tmp_path, runs=("01_noise_design", "03_wavenet", "04_dcunet"))
    change(clone, "03_wavenet", **values)
    text = built(clone)
    part = re.search(r'<section id="03_wavenet".*?</section>', text, re.DOTALL)[0]
    assert "This section was run with other settings" in part and message in part
    assert text.count("This section was run with other settings") == 1
    assert "Not all sections were run in the same way" in text


def test_parameters_of_the_profile_are_no_difference(clone):
    profiles = clone / "notebooks" / "profiles"
    profiles.mkdir()
    (profiles / "quick.toml").write_text("[04_dcunet]\nsteps = 7\n")
    change(clone, "04_dcunet", parameters={"steps": 7, "seed": 3})
    text = built(clone)
    assert "seed is 3, while the profile has 0" in text and "steps is 7, while" not in text
    assert ".venv/bin/denoise notebook 04_dcunet -p seed 3</pre>" in text


def test_a_section_made_from_an_earlier_run_is_flagged(tmp_path):
    clone = own_clone(tmp_path, runs=("04_dcunet", "05_street_noise"))
    change(clone, "04_dcunet", fingerprint="f" * 64)
    assert "made from an earlier run of 04_dcunet" in built(clone)


def edit_executed(clone, old, new):
    path = clone / "report" / "build" / "quick" / "01_noise_design" / "executed.ipynb"
    source = path.read_text(encoding="utf-8")
    assert old in source
    path.write_text(source.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("X = \\\\mathrm", "X = \\\\notacommand", "notacommand"),
        ("../pics/path.svg", "../pics/missing.svg", "no picture"),
        (
            '"name": "stdout",\n     "output_type": "stream",\n     "text"',
            '"ename": "E", "evalue": "", "traceback": [], "output_type": "error", "x"',
            "error",
        ),
    ],
)
def test_what_cannot_be_shown_stops_the_build_and_keeps_the_last_page(clone, old, new, message):
    before = built(clone)
    edit_executed(clone, old, new)
    with pytest.raises(UserError, match=message):
        page.build("quick", clone)
    assert (clone / "report" / "index.html").read_text(encoding="utf-8") == before
    assert not list((clone / "report").glob(".*"))


def test_no_run_no_page(clone):
    with pytest.raises(UserError, match="make report PROFILE=full"):
        page.build("full", clone)


def test_links_between_notebooks_and_out_of_them(text):
    assert '<a href="#02_autoencoder">the next section</a>' in text
    assert '<a href="https://arxiv.org">arXiv</a>' in text
    renderer = sections.Renderer("01_x", shared_clone() / "notebooks")
    assert renderer.link("the code", "../denoise_lib/page.py") == "the code"


def test_size_of_a_page_is_said_when_it_cannot_be_published(clone, capsys, monkeypatch):
    monkeypatch.setattr(page, "BUDGET", 1000)
    page.build("quick", clone)
    assert "more than the" in capsys.readouterr().out


def test_sounds_are_told_apart_by_what_is_heard():
    audio = (
        '<audio class="player-native" controls data-sound="{}" '
        'src="data:audio/flac;base64,AA"></audio>'
    )
    stored = store_once(audio.format("a1") + audio.format("b2") + audio.format("a1"))
    assert stored.count("<audio") == 2 and stored.count('href="#sound-a1"') == 1


def test_pictures_are_stored_once():
    picture = '<img class="player-picture" alt="{}" src="data:image/webp;base64,{}">'
    shown = {"a": "AA", "b": "BB", "c": "AA"}
    stored = store_once("".join(picture.format(*each) for each in shown.items()))
    kept = dict(re.findall(r'alt="(\w)" data-picture="(\w+)"', stored))
    assert set(kept) == {"a", "b"} and stored.count("image/webp") == 2
    assert re.findall(r'alt="(\w)" data-same="(\w+)"', stored) == [("c", kept["a"])]


def test_why_a_number_is_missing_is_said(clone):
    path = clone / "report" / "build" / "quick" / "04_dcunet" / "results.json"
    run = json.loads(path.read_text())
    lost = {"model": "clean", "metric": "snr", "n": 0}
    lost |= dict.fromkeys(("noisy", "denoised", "ci95"))
    difference = {"a": "dcunet", "b": "noisy", "mean": -0.1}
    run["rows"].append({**run["rows"][0], **lost, "reason": "infinite: a perfect copy"})
    run["differences"] = [difference]
    path.write_text(json.dumps(run))
    text = page.build("quick", clone).read_text(encoding="utf-8")
    rows = re.findall("<tr>.*?</tr>", text, re.DOTALL)
    row = next(line for line in rows if "<td>SNR</td>" in line)
    assert row.count("infinite: a perfect copy") == 2 and "0 of 6" in row
    results = json.loads((clone / "report" / "results.json").read_text())
    assert results["results"][-1]["reason"] and results["differences"] == [difference]


def test_what_the_benchmark_left_is_a_section_of_the_page(clone):
    assert 'id="speed"' not in built(clone)
    row = {"what": "four convolutions", "to": "one", "ratio": 1.234, "low": 1.2, "high": 1.3}
    system = {"what": "rnnoise", "factor": 0.0123, **row, "memory_mib": 5, "look_ahead_ms": None}
    bench = {"machine": {"processor": "one like <this>", "accelerators": []}}
    bench |= {"commit": "0123456789ab", "dirty": False, "left_out": ["No asteroid."], "gpu": []}
    bench |= {key: [row | {"rounds": 7}] for key in ("plain", "networks", "tried", "damage")}
    stage = {"what": "04_dcunet", "share": 0.25, "threads": 1, "memory_mib": 900}
    bench |= {"inference": [system | {"what": "rnnoise"}], "stages": [stage]}
    (clone / "report" / "bench.json").write_text(json.dumps(bench))
    text = built(clone)
    section = text[text.index('<section id="speed"') : text.index('<section id="provenance"')]
    assert '<a href="#speed">' in text and "one like &lt;this&gt;" in section
    assert section.count("1.23 <span") == 5 and "1.20 to 1.30" in section
    assert "No asteroid." in section and "0.0123" in section and "all of it" in section
    assert "25.0 %" in section and "RNNoise" in section


def test_a_full_disk_keeps_the_last_page(clone):
    resource = pytest.importorskip("resource")  # not on Windows
    before = built(clone)
    numbers = (clone / "report" / "results.json").read_text()
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (len(numbers.encode()) // 2, len(before.encode()) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
        try:
            with pytest.raises(
                OSError, match=r"File too large: .*report/(results.json|index.html)"
            ):
                page.build("quick", clone)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))
        assert (clone / "report" / "index.html").read_text(encoding="utf-8") == before
        assert not list((clone / "report").glob(".*"))
