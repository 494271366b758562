"""What matters in the noise of a training: small networks, each without one part of it."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from denoise_lib.damage.conditions import Noise
from denoise_lib.damage.outside import VariedRecording
from denoise_lib.damage.street import StreetMix
from denoise_lib.data.corpora import Corpus, open_speech
from denoise_lib.data.crops import Damage, JoinedCrops, fixed_batch
from denoise_lib.display.mean import Mean
from denoise_lib.models import CausalNet
from denoise_lib.models.base import Denoiser
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.verdicts import with_interval
from denoise_lib.training.loop import Schedule, train
from denoise_lib.training.losses import LOSSES

ALL = "all parts"
SPEECH_AS_IT_IS = "without varied speech"  # colour, band, room and level of the voice
SHORTEST = 0.3  # seconds, of clips that are joined to crops


def noise_ablation(
    lab: Experiment,
    source: str,
    schedule: Schedule,
    *,
    sounds: int = 400,
    snr_db: float = 5.0,
    split: str = "unseen_voice",
    preset: str = "small",
) -> list[list]:
    """Train a causal network on noise of all parts, and others without one, and score them alike.

    They are scored in recordings as they are, of the same corpora, with voices and noises that
    training has not heard. Rows go to "<notebook>:noise", and so does how far each is from the
    first, clip by clip.

    Args:
        lab: Its measures, batch, length of crops, seed and number of scored clips count.
        source: Corpora of speech and noise: "default" or "wide".
        sounds: How many noises are made, and three tenths as many of babble.
        snr_db: Speech to noise of the scored clips, dB.
        split: Whose clips are scored.
        preset: Of the causal network.

    Returns:
        Lines of a table: name, the means of the experiment's measures, and the difference from the
        first in SI-SDR; the noisy clips come first.
    """
    made = {"made": sounds, "babbles": max(1, round(0.3 * sounds))}
    parts = Noise(source, "train", speech=source).outside(**made)
    unheard = Noise(source, "valid", speech=source).outside(**made)
    test = Noise(source, split, snr_db, source).mix(StreetMix)
    heard = open_speech(source, min_seconds=SHORTEST)
    validation = fixed_batch(
        heard, heard.split("valid"), unheard, seed=lab.seed, seconds=2.0, max_clips=24
    )
    variants: dict[str, Damage] = {ALL: parts}
    variants |= {f"without {part}": parts.without(part) for part in parts.parts}
    variants[SPEECH_AS_IT_IS] = parts
    place, condition = replace(lab, corpus=open_speech(source)), f"kept-out noise, {snr_db:g} dB"
    lines = []
    for name, noise in variants.items():
        network = lab.seeded(lambda: CausalNet.from_preset(preset))
        model = _learned(lab, network, heard, noise, validation, schedule, name)
        place.score(model, condition, test, f"{lab.run.name}:noise", name=name, splits=(split,))
        lines += _lines(lab, name, condition, split, first=not lines)
    return lines


def _learned(
    lab: Experiment,
    network: CausalNet,
    heard: Corpus,
    noise: Damage,
    validation: tuple[Tensor, Tensor],
    schedule: Schedule,
    name: str,
) -> Denoiser:
    """A network trained on joined crops in one variant of the noise."""
    crops = JoinedCrops(
        heard,
        heard.split("train"),
        batch=lab.batch,
        seconds=lab.crop,
        seed=lab.seed,
        steps=schedule.steps,
        vary=None if name == SPEECH_AS_IT_IS else VariedRecording(),
    )
    return train(
        network,
        crops,
        noise,
        validation,
        schedule,
        lab.run.out / f"noise_{name.replace(' ', '_')}.safetensors",
        loss=LOSSES[network.loss],
        precision=lab.precision,
        label=name,
        progress=lab.run.progress,
    )[0]


def _lines(lab: Experiment, name: str, condition: str, split: str, *, first: bool) -> list[list]:
    """The line of a variant; before the first one, that of the noisy clips."""
    experiment = f"{lab.run.name}:noise"
    rows = [lab.run.value(condition, name, metric, split, experiment) for metric in lab.metrics]
    denoised = list(map(Mean, rows))
    if first:
        noisy = [Mean(row, "noisy") for row in rows]
        return [["noisy", *noisy, None], [name, *denoised, None]]
    far = lab.run.compare(
        (experiment, name),
        (experiment, ALL),
        condition=condition,
        split=split,
        metric="si_sdr",
        experiment=experiment,
    )
    return [[name, *denoised, with_interval(far, 1)]]
