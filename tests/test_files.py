"""Files appear whole or not at all."""

import hashlib
import os
import signal
import threading

import pytest

from denoise_lib import progress
from denoise_lib.errors import UserError
from denoise_lib.files import atomic, locked, read_json, sha256, write_json


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


def test_what_a_killed_writer_leaves_goes_and_what_another_writes_stays(tmp_path):
    """In a fork that is killed at its work, while a second one writes the same file."""
    target = tmp_path / "result.txt"
    child = os.fork()
    if child == 0:
        with atomic(target) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (tmp_path / ".another-file.txt").touch()
    assert len(os.listdir(tmp_path)) == 2
    with atomic(target) as slow:
        slow.write_text("slow")
        with atomic(target) as quick:
            quick.write_text("quick")
        assert target.read_text() == "quick" and slow.exists()
    assert target.read_text() == "slow"
    assert sorted(os.listdir(tmp_path)) == [".another-file.txt", "result.txt"]


def test_mode_is_that_of_any_new_file(tmp_path, monkeypatch):
    # Asking for the mask sets it for a moment, for other threads too.
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the mask was touched"))
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


def test_a_link_stays_a_link_and_permissions_stay(tmp_path):
    target, link = tmp_path / "elsewhere" / "result.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    with atomic(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_contents_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(handle):
        order.append(os.path.realpath(f"/proc/self/fd/{handle}"))
        real_sync(handle)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", lambda *names: order.append("name") or real_replace(*names))
    with atomic(tmp_path / "result.txt") as temporary:
        temporary.write_text("whole")
    assert order == [str(temporary), "name", str(tmp_path)]


def test_the_second_to_lock_waits_and_says_for_whom(tmp_path, monkeypatch):
    waiting, order, said = threading.Event(), [], []
    monkeypatch.setattr(progress, "say", lambda line: said.append(line) or waiting.set())

    def second():
        with locked(tmp_path / "lock", "filling the cache"):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path / "lock", "filling the cache"):
        thread.start()
        assert waiting.wait(60)
        order.append("first")
    thread.join(60)
    assert not thread.is_alive() and order == ["first", "second"]
    assert said == [f"waiting for process {os.getpid()}, which is filling the cache"]
