"""Fixtures that several test files share.

Each imports what it needs: pytest-xdist's first process reads this file, but runs no test.
"""

import ctypes
import gc
import sys
import types

import pytest
from hypothesis import settings
from page_checks import chromium, opened

# Time decides no test, and a failing example is the same the next time.
settings.register_profile("ours", deadline=None, derandomize=True)
settings.load_profile("ours")


LONGEST = ("test_smoke", "test_extending", "test_own_corpora")  # they run whole notebooks


def pytest_collection_modifyitems(items):
    """Slow files first, the longest before all, so that no process is left with one at the end."""
    items.sort(
        key=lambda item: (item.path.stem not in LONGEST, item.get_closest_marker("slow") is None)
    )


@pytest.fixture(scope="module", autouse=True)
def memory_given_back():
    """The C library keeps what a file's tests have freed, up to 1.5 GB. Others need it."""
    yield
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="module")
def browser():
    """Chromium, by module: Playwright's event loop would be in the way of other tests."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def path():
    """The page of the small clone."""
    from page_fixture import shared_clone

    return shared_clone() / "report" / "index.html"


@pytest.fixture
def page(browser, path):
    """That page, open."""
    with opened(browser, path) as page:
        yield page


@pytest.fixture
def player(page):
    """The player at its head."""
    return page.locator("#listen .player")


@pytest.fixture(scope="session")
def speech():
    """The default speech corpus; fetched, as by `make fetch`, where it is not in the cache."""
    from denoise_lib.data import corpora

    return corpora.open_speech()


@pytest.fixture(scope="session")
def street():
    """The default city recordings."""
    from denoise_lib.data import corpora

    return corpora.open_noise()


@pytest.fixture
def pages(monkeypatch):
    """The pages that were built, by profile; the page itself has tests of its own."""
    from denoise_lib import report

    built = []
    page = types.ModuleType("denoise_lib.report.page")
    page.build = lambda profile, root: built.append(profile) or root / "report" / "index.html"
    monkeypatch.setitem(sys.modules, "denoise_lib.report.page", page)
    monkeypatch.setattr(report, "page", page, raising=False)
    return built


@pytest.fixture
def clone(tmp_path, pages, capsys):
    """A clone without notebooks, whose page is not built."""
    from small_clone import Clone

    return Clone(tmp_path)
