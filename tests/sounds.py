"""Files of sound as people have them, made for the tests: broken, cut off, late, joined."""

import io
import struct

import av
import numpy as np
import soundfile

RATE = 16000


def voice(seconds=2.0, rate=RATE, level=0.05, seed=0):
    """Noise that comes and goes like syllables, RMS `level` while it is there; then a pause."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time))
    loud = (np.sin(2 * np.pi * 4 * time) > -0.5) & (time < 0.8 * seconds)
    smooth = np.convolve(noise, np.ones(4) / 2, "same")
    return (level * smooth * loud).astype(np.float32)


def as_bytes(samples, rate=RATE, container="WAV", subtype="PCM_16"):
    """A file of soundfile's, as bytes."""
    file = io.BytesIO()
    channels = samples.shape[1] if samples.ndim == 2 else 1
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=container) as out:
        for at in range(0, len(samples), 4096):
            out.write(samples[at : at + 4096])
    return bytearray(file.getvalue())


def with_data_size(wav, size):
    """A WAV file of which the header tells another size."""
    at = bytes(wav).index(b"data") + 4
    wav = bytearray(wav)
    wav[at : at + 4] = struct.pack("<I", size)
    return wav


def scratched(content, start=0.5, share=0.05):
    """Zeros over a share of a file."""
    content = bytearray(content)
    first, length = int(start * len(content)), int(share * len(content))
    content[first : first + length] = bytes(length)
    return content


def film(
    path, tracks, codec="aac", rate=48000, late=0.0, gap=None, pictures=3.0, default=None, **options
):
    """A film with black pictures and tracks of sound.

    late: seconds before the sound; gap: (second, length) of a hole in the time stamps; default: the
    track that is marked, from 0; options: FFmpeg's for the container.
    """
    with av.open(str(path), "w", options=options) as out:
        video = None
        if pictures:
            video = out.add_stream("mpeg4", rate=5)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
        sounds = [out.add_stream(codec, rate=rate, layout="mono") for _ in tracks]
        for number, stream in enumerate(sounds):
            marked = number == default
            stream.disposition = av.stream.Disposition.default if marked else 0
        for at in range(int(pictures * 5)):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts = at
            out.mux(video.encode(frame))
        if video:
            out.mux(video.encode(None))
        for stream, samples in zip(sounds, tracks, strict=True):
            for packet in _packets(stream, samples, rate):
                second = float(packet.pts * packet.time_base)
                shift = late + (gap[1] if gap and second >= gap[0] else 0)
                packet.pts += round(shift / packet.time_base)
                packet.dts = packet.pts
                out.mux(packet)


def _packets(stream, samples, rate):
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.rate, frame.pts = rate, 0
    to_codec = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
    for part in [*to_codec.resample(frame), *to_codec.resample(None)]:
        yield from stream.encode(part)
    yield from stream.encode(None)


def place(part, samples):
    """Where a part of the original lies in samples, by correlation."""
    size = 1 << (len(samples) + len(part)).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(part, size))
    return int(np.abs(np.fft.irfft(spectrum)[: len(samples)]).argmax())
