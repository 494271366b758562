"""Fixtures that several test files share."""

import pytest

from denoise_lib import corpora


@pytest.fixture(scope="session")
def speech():
    """The default speech corpus; fetched, as by `make fetch`, where it is not in the cache."""
    return corpora.open_speech()


@pytest.fixture(scope="session")
def street():
    """The default city recordings."""
    return corpora.open_noise()
