"""Where the disk is full: one line, and nothing half-written.

A limit on the size of a file stands for a disk that is full at some byte: the system refuses the
rest in the same way.
"""

from contextlib import contextmanager

import pytest
import soundfile
import torch
from small_corpus import small_corpus
from sounds import voice
from test_fetch import cache, server, upstream  # noqa: F401, fixtures

from denoise_lib import Corruption, audio, cli
from denoise_lib.data import fetch
from denoise_lib.data.crops import CleanCrops, fixed_batch
from denoise_lib.errors import UserError
from denoise_lib.files import Sink
from denoise_lib.models import ConvAutoencoder
from denoise_lib.models.checkpoints import read_record
from denoise_lib.training.loop import Schedule, train

resource = pytest.importorskip("resource")  # not on Windows
# What an encoder says when it is torn down would be further lines.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


@contextmanager
def full(size):
    """No file may become longer than so many bytes."""
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "caf", "m4a"])
def test_a_recording_is_denoised_whole_or_not_at_all(tmp_path, capsys, suffix):
    """At the very last byte, too, which libsndfile loses without a word when it closes a file."""
    source, target = tmp_path / "in.wav", tmp_path / "out" / f"it.{suffix}"
    soundfile.write(source, voice(2, seed=1), 16000)
    words = ["enhance", str(source), str(target), "--model", "log_mmse"]
    with pytest.raises(SystemExit, match="0"):
        cli.main(words)
    size = target.stat().st_size
    target.unlink()
    capsys.readouterr()
    for lost in (1, 300, size - 10, size):
        with full(size - lost), pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 1
        told = capsys.readouterr().err
        assert told == f"denoise: {target} cannot be written: File too large\n", lost
        assert left(tmp_path) == ["in.wav"]


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_waveform_is_saved_whole_or_not_at_all(tmp_path, suffix):
    path, waveform = tmp_path / f"it.{suffix}", torch.from_numpy(voice(1, seed=2))
    audio.save(path, waveform)
    before = path.read_bytes()
    for size in (len(before) - 1, 0):
        with full(size), pytest.raises(UserError, match=r"it\.\w+ cannot be written: .*too large"):
            audio.save(path, waveform)
        assert path.read_bytes() == before and left(tmp_path) == [path.name]


def test_a_training_goes_on_when_there_is_room_again(tmp_path):
    """What was finished before the disk was full is kept; the next run ends undisturbed."""
    corpus = small_corpus()

    def run(folder):
        torch.manual_seed(0)
        crops = CleanCrops(corpus, corpus.split("train"), batch=2, seconds=0.2, seed=0, steps=2)
        valid = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=0.5)
        schedule = Schedule(2, validate_every=1)
        path = folder / "net.safetensors"
        return train(ConvAutoencoder(2, 64, 16), crops, Corruption(), valid, schedule, path)

    whole, _ = run(tmp_path / "whole")
    size = (tmp_path / "whole" / "net.safetensors").stat().st_size
    folder = tmp_path / "full"
    for limit, names in ((size // 2, []), (size + 100, ["net.safetensors"])):
        with full(limit), pytest.raises(OSError, match="File too large") as error:
            run(folder)
        assert str(folder / "net.") in str(error.value)  # which file it was
        assert left(folder) == [".net.lock", *names]
    assert not read_record(folder / "net.safetensors")["finished"]
    again, history = run(folder)
    assert len(history) == 2 and read_record(folder / "net.safetensors")["finished"]
    for name, each in again.state_dict().items():
        assert torch.equal(each, whole.state_dict()[name])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("what", ["archive", "corpus"])
def test_a_corpus_is_fetched_whole_or_not_at_all(upstream, cache, capsys, what, share):  # noqa: F811
    """The part of a download that has arrived stays, and the next call goes on from there."""
    fetch.fetch_corpus("speech")
    expected = {path.name: path.read_bytes() for path in (cache / "corpora").iterdir()}
    arrays = [path for path in (cache / "corpora").iterdir() if path.suffix == ".npy"]
    largest = max(len(each) for each in upstream.files.values())
    size = largest if what == "archive" else arrays[0].stat().st_size
    for path in [*(cache / "corpora").iterdir(), *(cache / "packages").iterdir()]:
        if what == "archive" or path.parent.name == "corpora":
            path.unlink()
    with full(int(share * size)), pytest.raises(UserError) as error:
        fetch.fetch_corpus("speech")
    assert "File too large" in str(error.value) and "\n" not in str(error.value)
    assert not list((cache / "corpora").glob("*")) and not (cache / "work").exists()
    fetch.fetch_corpus("speech")
    for name, data in expected.items():
        assert (cache / "corpora" / name).read_bytes() == data


def test_what_comes_after_the_end_goes_nowhere(tmp_path):
    """A library that closes its file late must not write to another that has its descriptor."""
    with open(tmp_path / "one", "wb") as file, Sink(file) as sink:
        assert (sink.write(b"abc"), sink.tell(), sink.seek(1)) == (3, 3, 1)
        handle = file.fileno()
    with open(tmp_path / "other", "wb") as other:
        assert other.fileno() == handle
        assert (sink.write(b"late"), sink.seek(0, 2), sink.tell()) == (0, 0, 0)
    assert (tmp_path / "one").read_bytes() == b"abc" and (tmp_path / "other").read_bytes() == b""
