"""Files appear whole or not at all."""

import hashlib
import os

import pytest

from denoise_lib.errors import UserError
from denoise_lib.files import atomic, read_json, sha256, write_json


def test_file_appears_at_the_end(tmp_path):
    target = tmp_path / "new" / "result.flac"
    with atomic(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.parent == target.parent  # else the rename could be a copy
        assert temporary.suffix == ".flac"  # writers choose the format by it
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["result.flac"]


def test_failure_leaves_the_old_file(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with atomic(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"speech" * 100_000)
    assert sha256(tmp_path / "file") == hashlib.sha256(b"speech" * 100_000).hexdigest()


def test_json_comes_back(tmp_path):
    value = {"voice": "june", "title": "Pr\u00e9nom \u2013 \u0418", "scores": [-0.9, None, 1]}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}])
def test_what_is_not_json_is_not_written(tmp_path, bad):
    write_json(tmp_path / "value.json", {"score": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "value.json", {"score": bad})
    assert read_json(tmp_path / "value.json") == {"score": 1}


@pytest.mark.parametrize("content", [None, "", "{", "\xff"])
def test_unreadable_json_is_one_line(tmp_path, content):
    path = tmp_path / "value.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match="value.json") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_messages_are_one_line():
    assert str(UserError("a\n  long\tstory")) == "a long story"
