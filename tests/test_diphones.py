"""Speech from diphones: the file format, and that nothing but the pitch is changed."""

import io
import struct

import numpy as np
import pytest
import scipy.signal
import soundfile

from denoise_lib.data import unpack
from denoise_lib.data.diphones import Diphone, _pitch, _spoken, read_group, talks
from denoise_lib.errors import UserError

RATE = 16_000
PERIOD = 128  # samples, 125 Hz
POLES = 0.95 * np.exp(2j * np.pi * 700 / RATE)  # a formant
COEFFICIENTS = np.array([2 * POLES.real, -(abs(POLES) ** 2)])


def track(marks, coefficients):
    """Festival's track: a header, then time, flag, power and coefficients of each mark."""
    frames, order = coefficients.shape
    head = (
        "EST_File Track\nDataType binary\nByteOrder 01\n"
        f"NumFrames {frames}\nNumChannels {order + 1}\nEST_Header_End\n"
    )
    beside = np.ones((frames, 2))
    values = np.concatenate([marks[:, None] / RATE, beside, coefficients], 1)
    return head.encode() + values.astype("<f4").tobytes()


def residual(samples):
    """A file of Sun's format in mu-law."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="AU", subtype="ULAW", endian="BIG")
    return file.getvalue()


def group(units):
    """A voice's file of {name: (marks, coefficients, residual)}."""
    lines, body = [], b""
    for name, (marks, coefficients, samples) in units.items():
        first, second = track(marks, coefficients), residual(samples)
        lines.append(f"{name} {len(body)} {len(body) + len(first)} 3\n")
        body += first + second
    head = (
        f"EST_File index\nDataType ascii\nNumEntries {len(lines)}\nIndexName test\nEST_Header_End\n"
    )
    return (head + "".join(lines)).encode() + body


def unit(seed, periods=12, coefficients=COEFFICIENTS):
    """Pulses with a little noise between, through one formant."""
    marks = PERIOD * np.arange(1.0, periods + 1)
    samples = 0.003 * np.random.default_rng(seed).standard_normal(PERIOD * (periods + 1))
    samples[marks.astype(int)] += 0.3
    return marks, np.tile(coefficients, (periods, 1)), samples


VOICE = {"pau-a": unit(0), "a-b": unit(1), "b-a": unit(2), "a-pau": unit(3), "b-b": unit(4)}


def test_a_voice_is_read_as_it_was_written():
    found, rate = read_group(group(VOICE))
    assert rate == RATE and list(found) == list(VOICE)
    for name, (marks, coefficients, samples) in VOICE.items():
        np.testing.assert_allclose(found[name].marks, marks, atol=1e-2)
        np.testing.assert_allclose(found[name].coefficients, coefficients, rtol=1e-6)
        np.testing.assert_allclose(found[name].residual, samples, atol=0.01)  # mu-law


def test_at_its_own_pitch_a_recording_comes_back():
    """The inverse filter's residual, through the windows and the filter, is the recording."""
    marks, coefficients, excitation = unit(7, periods=60)
    recording = scipy.signal.lfilter([1], [1, *-COEFFICIENTS], excitation)
    joined = Diphone(marks, coefficients, excitation)
    spoken = _spoken(joined, RATE, np.ones(len(marks)))
    ends = (len(spoken) - len(recording)) // 2
    found, inner = spoken[ends : len(spoken) - ends], slice(8 * PERIOD, 58 * PERIOD)
    np.testing.assert_allclose(found[inner], recording[inner], atol=1e-9)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_the_pitch_changes_and_the_formant_stays(factor):
    marks, coefficients, excitation = unit(3, periods=80)
    spoken = _spoken(Diphone(marks, coefficients, excitation), RATE, np.full(len(marks), factor))
    middle = spoken[2000:9000]
    assert abs(len(spoken) - len(excitation)) < RATE / 20
    correlation = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    lags = np.arange(80, 200)
    assert lags[np.argmax(correlation[lags])] == pytest.approx(PERIOD / factor, abs=1.5)
    frequency, power = scipy.signal.welch(middle, RATE, nperseg=256)
    assert frequency[np.argmax(power)] == pytest.approx(700, abs=130)


def test_clips_are_speech_at_the_voice_s_rate_and_always_the_same():
    data = group(VOICE)
    clips = dict(talks(data, clips=3))
    assert list(clips) == ["00.wav", "01.wav", "02.wav"] and len(set(clips.values())) == 3
    assert clips == dict(talks(data, clips=3))
    for each in clips.values():
        samples, rate = soundfile.read(io.BytesIO(each))
        assert rate == RATE and 2.4 < len(samples) / RATE < 6.2
        assert np.abs(samples).max() == pytest.approx(0.7, abs=1e-3)


def test_silence_is_not_walked_into():
    silent = unit(5)
    silent[2][:] = 0
    quiet = VOICE | {"a-pau": silent}
    for each in dict(talks(group(quiet), clips=3)).values():
        samples = soundfile.read(io.BytesIO(each))[0]
        levels = np.abs(samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)).max(1)
        assert levels[1:-1].min() > 0.05


def test_a_clip_whose_filter_rings_is_left_out():
    growing = np.array([2 * 1.08 * np.cos(0.3), -(1.08**2)])
    unstable = {name: unit(1, coefficients=growing) for name in VOICE}
    assert not dict(talks(group(unstable), clips=2))


def test_the_pitch_moves_within_its_bounds():
    from denoise_lib.data.seeds import clip_generator

    seconds = np.arange(0, 5, 0.01)
    curves = [_pitch(seconds, clip_generator(str(each), 0)) for each in range(20)]
    assert min(each.min() for each in curves) > 0.85 * 2 ** -(3 * 0.14)
    assert max(each.max() for each in curves) < 1.2 * 2 ** (3 * 0.14)
    assert all(each.std() > 0.01 for each in curves)


def test_a_group_in_a_package_becomes_a_folder_of_clips(tmp_path):
    path = tmp_path / "voice.group"
    path.write_bytes(group(VOICE))
    unpack.expand(path, ".wav")
    assert not path.exists()
    assert (tmp_path / "voice" / "79.wav").is_file()


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.99])
def test_a_damaged_group_is_one_line(tmp_path, share):
    data = group(VOICE)
    path = tmp_path / "voice.group"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"voice\.group, an archive in a package, cannot be"):
        unpack.expand(path, ".wav")


def test_a_residual_of_another_kind_is_told():
    data = group(VOICE)
    place = data.index(b".snd")
    other = data[: place + 12] + struct.pack(">I", 3) + data[place + 16 :]
    with pytest.raises(ValueError, match="not in mu-law"):
        read_group(other)
