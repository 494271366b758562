"""Results on the page: tables that sort, numbers that lead to their cell, downloads."""

import csv
import io
import json
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from page_checks import opened
from page_fixture import shared_clone

from denoise_lib.report import page as page_module
from denoise_lib.report.sections import Section, _anchor_cells


@pytest.fixture(scope="module")
def results():
    return json.loads((shared_clone() / "report" / "results.json").read_text())["results"]


@pytest.fixture
def every(page):
    """The table of every number, unfolded."""
    page.get_by_text("Every number of this report").click()
    return page.locator("table.every")


def column(table, index):
    return [row.strip() for row in table.locator(f"tbody td:nth-child({index})").all_inner_texts()]


def numbers(texts):
    return [float(text.replace("−", "-")) for text in texts]


def test_a_column_of_numbers_sorts_up_down_and_back(every):
    before = column(every, 8)
    heading = every.locator("th").nth(7)
    button = heading.get_by_role("button", name="denoised")
    assert heading.get_attribute("aria-sort") == "none"
    button.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert numbers(column(every, 8)) == sorted(numbers(before)) != numbers(before)
    button.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert numbers(column(every, 8)) == sorted(numbers(before), reverse=True)
    button.press("Enter")
    assert heading.get_attribute("aria-sort") == "none"
    assert column(every, 8) == before


def test_a_column_of_words_sorts_and_ties_keep_their_order(every):
    before = list(zip(column(every, 3), column(every, 1), strict=True))
    every.get_by_role("button", name="model").click()
    after = list(zip(column(every, 3), column(every, 1), strict=True))
    assert after == sorted(before, key=lambda pair: pair[0].lower())


def test_one_column_at_a_time(every):
    every.get_by_role("button", name="model").click()
    every.get_by_role("button", name="condition").click()
    assert every.locator("[aria-sort=ascending]").all_inner_texts() == ["condition"]


def test_headings_that_span_rows_sort_their_own_column(page):
    table = page.locator("table.glance").first
    names = table.locator("tbody th").all_inner_texts()
    dcunet = numbers(re.match(r"\S+", text)[0] for text in column(table, 7))
    table.get_by_role("button", name="DCUnet").click()
    order = sorted(range(len(dcunet)), key=dcunet.__getitem__)
    assert table.locator("tbody th").all_inner_texts() == [names[i] for i in order]
    table.get_by_role("button", name="condition").click()
    assert table.locator("tbody th").all_inner_texts() == sorted(names)


def test_the_head_of_a_group_does_not_sort(page):
    assert page.locator("table.glance .group button").count() == 0


def test_without_scripts_headings_are_text(browser, path):
    with opened(browser, path, java_script_enabled=False) as page:
        assert page.locator("table button").count() == 0
        assert page.locator("table.glance th").first.inner_text() == "condition"


def test_a_number_leads_to_the_output_that_made_it(page):
    link = page.locator("table.glance tbody tr").first.locator("td a").last
    target = link.get_attribute("href")
    assert target == "#scores-04_dcunet-both-dcunet-test"
    link.click()
    row = page.locator(f"[id='{target[1:]}']")
    assert 0 <= row.bounding_box()["y"] < 900
    further = row.locator("a").first.get_attribute("href")
    assert re.fullmatch(r"#04_dcunet-cell-\d+", further)
    assert page.locator(f"[id='{further[1:]}']").locator("img, .verdict").count()


def test_stages_lead_to_their_own_cells(page):
    rows = page.locator("table.glance").nth(1).locator("tbody tr")
    before, after = (rows.nth(index).locator("td a").last.get_attribute("href") for index in (0, 1))
    assert before != after
    assert "not trained on it" in page.locator(f"[id='{before[1:]}']").inner_text()
    assert "retrained" in page.locator(f"[id='{after[1:]}']").inner_text()


def test_every_number_of_ours_is_a_link(page):
    tables = page.locator("table.glance, table.unseen").all()
    assert len(tables) == 3
    for table, ours in zip(tables, ((2, 3, 5, 6, 7), (2, 3, 5), (2, 3, 4, 5)), strict=True):
        for index in ours:
            cells = table.locator(f"tbody tr > :nth-child({index})").all()
            assert all(cell.inner_text() == "–" or cell.locator("a").count() for cell in cells)


def test_a_cell_that_shows_nothing_leads_to_the_next_that_does():
    shown = new_output("display_data", {"text/html": "<p>a</p>"})
    cells = [new_code_cell("a", execution_count=1), new_code_cell("b", execution_count=2)]
    cells[1].outputs = [shown]
    cells.append(new_code_cell("c", execution_count=3))
    node = new_notebook(cells=[new_markdown_cell("text"), *cells])
    _anchor_cells(node, "02_x")
    assert cells[1].metadata.anchors == ["02_x-cell-2", "02_x-cell-1"]
    assert "anchors" not in cells[0].metadata and "anchors" not in cells[2].metadata
    assert Section("02_x", "X").anchor({"cell": 1}) == "02_x-cell-1"


def test_results_as_csv_are_results_json(page, results):
    with page.expect_download() as started:
        page.get_by_role("link", name="results.csv").click()
    assert started.value.suggested_filename == "results.csv"
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    assert len(rows) == len(results)
    for row, wanted in zip(rows, results, strict=True):
        assert row["experiment"] == wanted["experiment"] and row["metric"] == wanted["metric"]
        assert float(row["denoised"]) == wanted["denoised"]
        assert [float(row["ci95_low"]), float(row["ci95_high"])] == wanted["ci95"]


def test_what_is_missing_is_empty_in_the_csv(results):
    row = {**results[0], "denoised": None, "ci95": None}
    (read,) = csv.DictReader(io.StringIO(page_module.results_csv([row])))
    assert (read["denoised"], read["ci95_low"], read["ci95_high"]) == ("", "", "")
