"""`denoise live`: a pipe gives what the file gives; a microphone is played through."""

import io
import os
import subprocess
import sys
import types
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sounds import as_bytes, voice

from denoise_lib import RATE, Stream, audio, cli, load_pretrained
from denoise_lib.commands.live import RAW, Kind, from_float, live, pipe, to_float
from denoise_lib.errors import UserError
from denoise_lib.models import CausalNet
from denoise_lib.models.inference import process

CLIP = Path(__file__).resolve().parents[1] / "audio" / "ex_street.flac"


def wav(samples, rate=RATE, width=2):
    """A wav file in memory, of int16 samples (time, channels)."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(samples.shape[1])
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def piped(data, level=0.05, raw="s16", model=None, rate=RATE, channels=1):
    """What `pipe` writes."""
    model = model or CausalNet.from_preset("tiny").eval()
    source, target = io.BufferedReader(io.BytesIO(data)), io.BytesIO()
    kind = Kind(rate, channels, RAW[raw][1])
    pipe(source, target, lambda rate: Stream(model, level=level, rate=rate), kind)
    return target.getvalue()


@pytest.fixture
def clip():
    return audio.load(CLIP, quiet=True)[:20_123]


@pytest.mark.slow
def test_a_pipe_gives_what_the_file_gives(clip, tmp_path):
    """A wav in two processes joined by pipes, and the network over the whole file."""
    level = 20 * float(clip.square().mean().sqrt().log10())
    command = [sys.executable, "-m", "denoise_lib.cli", "live", "-", "-", "--level", str(level)]
    done = subprocess.run(
        command, input=wav(audio.to_int16(clip)[:, None]), capture_output=True, check=True
    )
    assert done.stderr.decode() == "speech: algorithmic latency 32 ms\n"
    (tmp_path / "out.wav").write_bytes(done.stdout)
    found = np.frombuffer(done.stdout[44:], "<i2").astype(int)
    heard = torch.from_numpy(audio.to_int16(clip) / np.float32(32768))
    gain = 0.05 / 10 ** (level / 20)
    wanted = audio.to_int16(process(load_pretrained("speech"), heard * gain) / gain)
    assert len(found) == len(clip)
    assert abs(found - wanted.astype(int)).max() <= 1, "the same but for the rounding to 16 bits"
    assert (found == wanted).mean() > 0.99
    import soundfile

    read, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert rate == RATE and (read == found).all(), "players read it"


@pytest.mark.parametrize(("raw", "kind"), [("s16", "<i2"), ("f32", "<f4")])
def test_raw_samples_go_through(clip, raw, kind):
    given = audio.to_int16(clip) if raw == "s16" else clip.numpy()
    out = np.frombuffer(piped(given.astype(kind).tobytes(), raw=raw), kind)
    np.testing.assert_allclose(out, given, atol=1 if raw == "s16" else 1e-6)  # a fresh network


def test_channels_are_kept_apart(clip):
    both = np.stack([audio.to_int16(clip), np.zeros(len(clip), np.int16)], 1)
    out = np.frombuffer(piped(wav(both))[44:], "<i2").reshape(-1, 2)
    np.testing.assert_allclose(out, both, atol=1)
    assert not out[:, 1].any()


def test_nothing_in_nothing_out():
    assert piped(b"") == b""
    assert len(piped(wav(np.zeros((0, 1), np.int16)))) == 44


def test_half_a_sample_at_the_end_is_left_out(clip):
    given = audio.to_int16(clip)
    assert len(piped(given.tobytes() + b"x")) == 2 * len(given)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (as_bytes(np.zeros(1000, np.float32), 16000, "WAV", "ULAW"), "compressed samples"),
        (b"RIFFxx", "begins like a wav"),
    ],
)
def test_another_wav_is_refused_in_a_line(data, told):
    with pytest.raises(UserError, match=told):
        piped(data)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"raw": "s8"}, "--raw s8: use u8, s16"),
        ({"source": "-"}, "a pipe goes to a pipe"),
        ({"model": "germain"}, "germain looks ahead and answers after 1.5 s"),
    ],
)
def test_what_cannot_be_is_one_line(options, told):
    everything = {"source": "default", "target": "default", "model": "speech", "level": None}
    everything |= {"rate": None, "channels": 1}
    with pytest.raises(UserError, match=told):
        live(**(everything | {"raw": "s16"} | options))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_a_wav_of_any_kind_keeps_it(subtype, rate):
    samples = np.stack([voice(0.5, rate), voice(0.5, rate, seed=1)], 1)
    given = bytes(as_bytes(samples, rate, "WAV", subtype))
    out = piped(given)  # a fresh network changes nothing
    (before, first), (after, second) = (soundfile.read(io.BytesIO(x)) for x in (given, out))
    assert soundfile.info(io.BytesIO(out)).subtype == subtype and first == second == rate
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, atol=2**-6 if subtype == "PCM_U8" else 1e-4)


@pytest.mark.parametrize("raw", RAW)
def test_raw_samples_come_back(raw):
    kind = Kind(RATE, 2, RAW[raw][1])
    data = np.random.default_rng(0).integers(0, 250, 100 * kind.size, np.uint8).tobytes()
    if raw.startswith("f"):
        data = voice(0.1).astype("<f4" if raw == "f32" else "<f8").tobytes()
    back = from_float(to_float(data, kind), kind)
    if raw == "s32":  # float32 holds the upper 24 bits
        a, b = (np.frombuffer(x, "<i4").astype(float) for x in (data, back))
        assert abs(a - b).max() < 2**8
    else:
        assert back == data


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_quietly(clip):
    data = wav(np.tile(audio.to_int16(clip), 20)[:, None])
    script = f"{sys.executable} -m denoise_lib.cli live - - | head -c 1000 > {os.devnull}"
    done = subprocess.run(script, shell=True, input=data, capture_output=True)
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


class Sound:
    """A sound card that records a clip, plays into a list, and is then unplugged by Ctrl-C."""

    latency = (0.01, 0.02)

    def __init__(self, module, settings):
        self.module = module
        module.settings = settings

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def read(self, size):
        if len(self.module.recorded) < size:
            raise KeyboardInterrupt
        block, self.module.recorded = self.module.recorded[:size], self.module.recorded[size:]
        return block.numpy()[:, None], False

    def write(self, block):
        self.module.played.append(torch.from_numpy(block[:, 0]))


def test_microphone_to_loudspeaker(clip, monkeypatch, capsys):
    module = types.SimpleNamespace(
        recorded=clip,
        played=[],
        PortAudioError=RuntimeError,
        Stream=lambda **settings: Sound(module, settings),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    cli_status = 0
    try:
        cli.main(["live", "default", "3", "--level", "-26"])
    except SystemExit as ended:
        cli_status = ended.code
    assert cli_status == 0
    wanted = Stream("speech", level=10 ** (-26 / 20)).process(clip[: len(clip) // 256 * 256])
    torch.testing.assert_close(torch.cat(module.played), wanted, atol=1e-5, rtol=0)
    assert module.settings["device"] == (None, 3) and module.settings["samplerate"] == RATE
    assert "30 ms of the sound devices" in capsys.readouterr().err


def test_without_portaudio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # an import of it fails
    with pytest.raises(UserError, match=r"pip install 'denoise_lib\[live\]'"):
        live("default", "default", "speech", None, "s16")
