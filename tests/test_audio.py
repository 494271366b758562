"""Audio files in and out: what is read is what was written, and what is wrong is said in a line."""

import math
import tracemalloc

import av
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from denoise_lib import audio
from denoise_lib.errors import UserError


def tone(rate, seconds=0.5, hertz=440.0, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@settings(max_examples=30, deadline=None)
@given(samples=arrays(np.int16, st.integers(1, 2000)), suffix=st.sampled_from([".wav", ".flac"]))
def test_sixteen_bit_samples_come_back_exactly(tmp_path_factory, samples, suffix):
    path = tmp_path_factory.mktemp("audio") / f"clip{suffix}"
    waveform = torch.from_numpy(samples.astype(np.float32) / 32768)
    audio.save(path, waveform)
    loaded = audio.load(path)
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, waveform)


def test_clipping_is_counted(tmp_path, capsys):
    audio.save(tmp_path / "loud.wav", torch.tensor([0.0, 1.5, -2.0, 0.5, 1.0]))
    assert "2 of 5 samples clipped" in capsys.readouterr().err
    assert audio.load(tmp_path / "loud.wav").tolist() == [0, 32767 / 32768, -1, 0.5, 32767 / 32768]


@pytest.mark.parametrize(
    ("name", "waveform", "message"),
    [
        ("a.wav", torch.tensor([0.0, float("nan"), float("inf")]), "2 samples are not finite"),
        ("a.mp3", torch.zeros(10), "not as .mp3"),
        ("a", torch.zeros(10), "no suffix"),
        ("a.wav", torch.zeros(2, 10), r"\(2, 10\)"),
        ("a.wav", torch.zeros(0), r"\(0,\)"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, name, waveform, message):
    with pytest.raises(UserError, match=message):
        audio.save(tmp_path / name, waveform)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".m4a", ".webm"])
def test_other_containers_are_read_by_pyav(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    codec = {".m4a": "aac", ".webm": "libopus"}[suffix]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=48000, layout="stereo")
        samples = np.stack([tone(48000)] * 2).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.rate = 48000
        to_codec = av.AudioResampler(format=stream.format, layout="stereo", rate=48000)
        for part in [*to_codec.resample(frame), None]:
            out.mux(stream.encode(part))
    loaded = audio.load(path)
    assert abs(len(loaded) - 8000) < 1024  # lossy codecs pad to whole frames
    spectrum = torch.fft.rfft(loaded[2000:6000])
    assert spectrum.abs().argmax() == 440 * 4000 // 16000
    assert audio.length(path) == len(loaded)


def test_g722_is_known_by_its_suffix(tmp_path):
    # The codec holds two samples in a byte. A file of zero bytes of code is near silence.
    path = tmp_path / "prompt.g722"
    path.write_bytes(bytes([0xFA]) * 8000)
    loaded = audio.load(path)
    assert loaded.shape == (16000,)
    assert loaded.abs().max() < 0.01


def test_stereo_and_rate_are_announced(tmp_path, capsys):
    left, right = tone(44100), tone(44100, level=0.1)
    soundfile.write(tmp_path / "street.wav", np.stack([left, right], 1), 44100, subtype="FLOAT")
    loaded = audio.load(tmp_path / "street.wav")
    said = capsys.readouterr().err
    assert "2 channels mixed down to one" in said
    assert "resampled from 44100 to 16000 Hz" in said
    assert len(loaded) == 8000
    middle = slice(1000, 7000)  # the filter rings at the ends
    assert np.allclose(loaded[middle], tone(16000, level=0.3)[middle], atol=2e-3)
    audio.load(tmp_path / "street.wav", quiet=True)
    assert capsys.readouterr().err == ""


def test_a_rate_that_only_a_damaged_header_has_takes_no_gigabytes():
    waveform = torch.ones(2, 200_000)
    tracemalloc.start()
    try:
        out = audio.resample(waveform, 1_229_046_273, 16000)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert out.shape == (2, math.ceil(200_000 * 16000 / 1_229_046_273)) and out.isfinite().all()


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 44101, 48000])
@pytest.mark.parametrize("target", [8000, 16000])
def test_a_tone_survives_resampling(rate, target):
    out = audio.resample(torch.from_numpy(tone(rate).astype(np.float32)), rate, target)
    assert out.dtype == torch.float32
    expected = tone(target)[: len(out)]
    middle = slice(len(out) // 8, -len(out) // 8)
    assert np.allclose(out[middle], expected[middle], atol=5e-3)


@settings(max_examples=20, deadline=None)
@given(
    frames=st.integers(1, 5000),
    rate=st.sampled_from([8000, 16000, 22050, 44100, 44101, 48000]),
    target=st.sampled_from([8000, 16000]),
)
def test_length_is_known_before_loading(tmp_path_factory, frames, rate, target):
    path = tmp_path_factory.mktemp("audio") / "clip.flac"
    soundfile.write(path, np.full(frames, 0.1), rate)
    assert audio.length(path, target) == len(audio.load(path, target, quiet=True))


def test_channels_are_taken_on_either_axis():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    stereo = torch.stack([x, 3 * x], dim=1)
    for samples in (x, x[:, None], x.numpy()):
        np.testing.assert_array_equal(audio.channels_last(samples), x[:, None].numpy())
    for samples in (stereo, stereo.T):
        np.testing.assert_array_equal(audio.channels_last(samples), stereo.numpy())
    assert audio.channels_last(x.double()).dtype == np.float32


@pytest.mark.parametrize(
    "shape", [(), (0,), (0, 2), (2, 2), (100, 100), (1000, 33), (2, 3, 4), (1, 1, 1000)]
)
def test_channels_last_refuses_other_shapes(shape):
    with pytest.raises(UserError, match="expected samples shaped") as caught:
        audio.channels_last(np.zeros(shape, np.float32))
    assert str(shape) in str(caught.value)


def test_channels_last_refuses_integers():
    with pytest.raises(UserError, match="int16"):
        audio.channels_last(np.zeros(100, np.int16))


def test_levels():
    x = torch.randn(3, 16000, generator=torch.Generator().manual_seed(0))
    x = x * torch.tensor([[1e-4], [1], [9]])
    levelled = audio.to_level(x)
    assert torch.allclose(levelled.square().mean(dim=1).sqrt(), torch.full((3,), 0.05), rtol=1e-5)
    assert torch.allclose(audio.to_level(x[1]), levelled[1])  # a clip's level is its own
    assert torch.allclose(levelled / x, (levelled / x)[:, :1].expand_as(x), rtol=1e-4)
    assert torch.equal(audio.to_level(torch.zeros(10)), torch.zeros(10))


def broken(folder):
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is not audio, whatever its name says\n" * 50)
    (folder / "text.m4a").write_text("nor is this\n" * 50)
    (folder / "folder.wav").mkdir()
    soundfile.write(folder / "none.wav", np.zeros(0), 16000)
    soundfile.write(folder / "nan.wav", np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    with av.open(str(folder / "picture.mkv"), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        out.mux([packet for part in (frame, None) for packet in stream.encode(part)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.wav", "is not there"),
        ("folder.wav", "is a folder"),
        ("empty.wav", "is empty"),
        ("text.wav", "cannot be read as audio"),
        ("text.m4a", "cannot be read as audio"),
        ("none.wav", "holds no samples"),
        ("nan.wav", "not finite"),
        ("picture.mkv", "holds no audio"),
    ],
)
def test_unreadable_files_are_one_line(tmp_path, name, message):
    broken(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        audio.load(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_time_shift(tmp_path):
    # An impulse stays where it is when it is read, and where it should be when it is resampled.
    x = np.zeros(4800, np.float32)
    x[2400] = 0.9
    soundfile.write(tmp_path / "impulse.wav", x, 48000, subtype="PCM_16")
    assert audio.load(tmp_path / "impulse.wav", rate=48000).argmax() == 2400
    assert audio.load(tmp_path / "impulse.wav", rate=16000).argmax() == 800
