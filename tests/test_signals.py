"""SIGTERM, SIGHUP and Ctrl-C end a command in one line, wherever it is, and it leaves nothing."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from array import array
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import RATE, voice
from test_cli import run

from denoise_lib import files
from denoise_lib.commands import enhance
from denoise_lib.commands.signals import Ended, ending, let_go
from denoise_lib.files import Sink, atomic, remove_left_over
from denoise_lib.recordings.film import FilmWriter
from denoise_lib.recordings.slices import Slice
from denoise_lib.recordings.write import SoundFileWriter

ROOT = Path(__file__).resolve().parents[1]
TOLD = [
    (signal.SIGTERM, 143, "denoise: ended by SIGTERM\n"),
    (signal.SIGHUP, 129, "denoise: ended by SIGHUP\n"),
    (signal.SIGINT, 130, "denoise: interrupted\n"),
]
KINDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM)


@pytest.fixture(autouse=True)
def handlers():
    """Those of a process in the foreground, which must be back at the end."""
    before = {each: signal.getsignal(each) for each in KINDS}
    for each in KINDS:
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own = {each: signal.getsignal(each) for each in KINDS}
    try:
        yield
        assert {each: signal.getsignal(each) for each in KINDS} == own
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@pytest.mark.parametrize(("number", "status", "line"), TOLD)
@pytest.mark.parametrize(
    ("name", "writer"), [("out.wav", SoundFileWriter), ("out.m4a", FilmWriter)]
)
def test_a_file_that_is_being_written_goes(
    tmp_path, capsys, monkeypatch, number, status, line, name, writer
):
    soundfile.write(tmp_path / "in.wav", voice(0.5), RATE)
    seen = []

    def write(self, block):
        seen.extend(each for each in os.listdir(tmp_path) if each.startswith("."))
        signal.raise_signal(number)

    monkeypatch.setattr(writer, "write", write)
    arguments = ["enhance", f"{tmp_path}/in.wav", f"{tmp_path}/{name}", "--model", "log_mmse"]
    assert run(capsys, *arguments) == (status, "", line)
    assert len(seen) == 1 and os.listdir(tmp_path) == ["in.wav"]


def test_so_do_those_of_several_recordings_at_once(tmp_path, capsys, monkeypatch):
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", voice(0.5), RATE)
    out, before = tmp_path / "out", set(threading.enumerate())
    whole = enhance.Work.do
    monkeypatch.setattr(
        enhance.Work, "do", lambda *a, **k: (os.kill(os.getpid(), signal.SIGTERM), whole(*a, **k))
    )
    arguments = ["enhance", str(tmp_path), "--out", str(out), "--jobs", "2", "--model", "log_mmse"]
    status, _, err = run(capsys, *arguments)
    assert (status, err) == (143, "denoise: ended by SIGTERM\n")
    for thread in set(threading.enumerate()) - before:  # Python waits for them at its end, too
        thread.join(60)
    assert not out.exists() or not [each for each in os.listdir(out) if each.startswith(".")]


class Asking:
    """A file that sends this process a signal in the middle of a call."""

    def __init__(self, file, number, calls):
        self.file, self.number, self.calls = file, number, calls

    def fileno(self):
        self._ask()
        return self.file.fileno()

    def read(self, size):
        self._ask()
        return self.file.read(size)

    def seek(self, *place):
        return self.file.seek(*place)

    @property
    def closed(self):
        return self.file.closed

    def _ask(self):
        self.calls -= 1
        if not self.calls:
            signal.raise_signal(self.number)


LOST = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


@LOST
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_a_library_writes_by_python_it_is_not_lost(tmp_path, number):
    """libsndfile calls Python to write: what is raised there would be printed and forgotten."""
    written = 0
    with pytest.raises((Ended, KeyboardInterrupt)), ending(), open(tmp_path / "x", "wb") as file:
        sink = Sink(Asking(file, number, 3))
        with soundfile.SoundFile(sink, "w", RATE, 1, format="FLAC") as sound:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                sound.write(voice(0.1))
                written += 1
    assert written > 1


@LOST
def test_nor_while_one_reads_by_it(tmp_path):
    soundfile.write(tmp_path / "x.wav", voice(1.0), RATE)
    size = (tmp_path / "x.wav").stat().st_size
    with pytest.raises(Ended), ending(), open(tmp_path / "x.wav", "rb") as file:
        asking = Slice(Asking(file, signal.SIGTERM, 2), 0, size)
        samples, _ = soundfile.read(asking)
        np.testing.assert_allclose(samples, voice(1.0), atol=2**-15)  # it got all that it asked for
        time.sleep(60)


def test_what_a_library_swallows_is_raised_again(capsys):
    swallowed = []
    with pytest.raises(Ended) as caught, ending():
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            swallowed.append(type(error))
        time.sleep(60)
    assert swallowed == [Ended] and (caught.value.code, caught.value.signal) == (143, "SIGTERM")


def test_and_at_the_end_it_counts_still():
    with pytest.raises(Ended), ending():
        with suppress(BaseException):
            signal.raise_signal(signal.SIGHUP)


def test_clearing_up_is_not_disturbed():
    done = []
    with pytest.raises(Ended), ending():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
                signal.raise_signal(number)
            time.sleep(0.3)  # meanwhile it would be raised again
            done.append("all")
    assert done == ["all"]


def test_an_alarm_that_goes_off_at_the_very_end_sets_no_other(monkeypatch):
    def late(which, seconds, setting=signal.setitimer):
        setting(which, seconds)
        if not seconds:
            signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(signal, "setitimer", late)
    with pytest.raises(Ended), ending():
        signal.raise_signal(signal.SIGTERM)
    # `handlers` looks for a timer: one that runs on would end the process by SIGALRM


def test_but_by_a_second_ctrl_c():
    with pytest.raises(KeyboardInterrupt), ending():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second was ignored")


def test_what_is_ignored_stays_so_and_handlers_of_others_stay():
    heard = []

    def own(*_):
        heard.append("own")

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    signal.signal(signal.SIGTERM, own)
    try:
        with ending():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert heard == ["own"] and signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_nobody_waits_for_who_does_not_read_a_pipe():
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(ends[1], bytes(4096))
    os.set_blocking(ends[1], True)
    kept = os.dup(ends[1])
    with open(ends[1], "w") as stream:
        stream.write("the rest")
        let_go(stream)
    assert os.get_blocking(kept)  # others write to it, too
    os.close(ends[0])
    os.close(kept)


def test_but_who_reads_gets_all(tmp_path):
    with open(tmp_path / "told", "w") as stream:
        stream.write("all")
        let_go(stream)
        assert (tmp_path / "told").read_text() == "all"


def test_a_live_pipe_ends_though_nobody_reads_on():
    ends = os.pipe()
    size = fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, 4096)
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/zero", "rb") as zeros:
        process = subprocess.Popen(
            [sys.executable, "-m", "denoise_lib.cli", "live", "-", "-", "--model", "rnnoise"],
            stdin=zeros,
            stdout=ends[1],
            stderr=subprocess.PIPE,
            env=own | {"PYTHONPATH": str(ROOT)},
        )
    held = array("i", [0])
    with process:
        while held[0] < size - 512:  # until it is full
            assert process.poll() is None
            time.sleep(0.1)
            fcntl.ioctl(ends[0], termios.FIONREAD, held)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(120) == 143
        finally:
            process.kill()
        assert process.stderr.read().splitlines()[1:] == [b"denoise: ended by SIGTERM"]
    for end in ends:
        os.close(end)


def test_what_a_killed_one_left_goes_though_its_file_is_whole(tmp_path, capsys):
    """It was made anew, with --force, when it was killed; the next run skips it."""
    soundfile.write(tmp_path / "a.wav", voice(0.5), RATE)
    out = tmp_path / "out"
    arguments = ["enhance", str(tmp_path), "--out", str(out), "--model", "log_mmse"]
    assert run(capsys, *arguments)[0] == 0
    child = os.fork()
    if child == 0:
        with atomic(out / "a.wav") as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (out / ".12345678-12345678.wav").touch()  # of another file
    assert len(os.listdir(out)) == 3
    with atomic(out / "a.wav") as another:  # of a living one
        status, _, err = run(capsys, *arguments)
        assert status == 0 and "1 of 1 results are there already" in err and another.exists()
    assert sorted(os.listdir(out)) == [".12345678-12345678.wav", "a.wav"]
    remove_left_over([out / "not_there" / "x.wav"])
    assert files._mark(Path("a.wav")) != "12345678"
