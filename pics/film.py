"""Films of the published sounds, which GitHub plays: ``python pics/film.py`` rewrites hear-*.mp4.

Each shows the spectrograms of two or three clips of audio/, one after the other, with their sound.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from denoise_lib import RATE, audio
from denoise_lib.display.spectra import COLOUR_MAP, DB_RANGE, spectrogram_db

FOLDER = Path(__file__).resolve().parent
SIZE = (640, 240)  # pixels
FRAMES = 12  # pictures each second
PAUSE = 0.4  # s between two clips
# Name of the film: its clips, and what stands above each.
FILMS = {
    "damage": {"clean": "clean", "ex_01_80": "zeroing and raising", "out_01": "after the DCUnet"},
    "zeroing": {"clean": "clean", "ex_0_50": "strong zeroing"},
    "street-before": {
        "ex_street": "street noise",
        "out_street": "after the DCUnet, not trained on streets",
    },
    "street-after": {
        "ex_street2": "street noise",
        "out_street2": "after the DCUnet, retrained on streets",
    },
}


def picture(samples: NDArray[np.float32], title: str) -> Image.Image:
    """A spectrogram with its title above."""
    share = np.clip((spectrogram_db(samples) - DB_RANGE[0]) / (DB_RANGE[1] - DB_RANGE[0]), 0, 1)
    pixels = matplotlib.colormaps[COLOUR_MAP](share[::-1], bytes=True)[..., :3]
    sheet = Image.new("RGB", SIZE, "#1e2125")
    sheet.paste(
        Image.fromarray(np.ascontiguousarray(pixels)).resize((SIZE[0], SIZE[1] - 36)), (0, 36)
    )
    ImageDraw.Draw(sheet).text((12, 8), title, "#e4e5e8", font=ImageFont.load_default(18))
    return sheet


def write(path: Path, clips: dict[str, str]) -> None:
    """Write one film, H.264 and AAC."""
    silence = np.zeros(round(PAUSE * RATE), np.float32)
    sounds = {name: audio.load(FOLDER.parent / "audio" / f"{name}.flac").numpy() for name in clips}
    with av.open(str(path), "w") as film:
        images = film.add_stream("libx264", rate=FRAMES, options={"crf": "28"})
        images.width, images.height, images.pix_fmt = *SIZE, "yuv420p"
        sound = film.add_stream("aac", rate=48000, layout="mono")
        sound.bit_rate = 96_000
        resample = av.AudioResampler("fltp", "mono", 48000)
        played = 0
        for name, title in clips.items():
            whole = np.concatenate([sounds[name], silence])
            still = picture(sounds[name], title)
            for frame in range(round(len(whole) / RATE * FRAMES)):
                image = still.copy()
                x = round(frame / FRAMES * RATE / len(sounds[name]) * SIZE[0])
                ImageDraw.Draw(image).line([(x, 36), (x, SIZE[1])], "white", 2)
                film.mux(images.encode(av.VideoFrame.from_image(image)))
            part = av.AudioFrame.from_ndarray(whole[None], "fltp", "mono")
            part.sample_rate, part.pts, part.time_base = RATE, played, Fraction(1, RATE)
            played += len(whole)
            for each in resample.resample(part):
                film.mux(sound.encode(each))
        for stream in (images, sound):
            film.mux(stream.encode(None))


if __name__ == "__main__":
    for film_name, film_clips in FILMS.items():
        target = FOLDER / f"hear-{film_name}.mp4"
        write(target, film_clips)
        print(f"{target}: {target.stat().st_size / 1000:.0f} kB")
