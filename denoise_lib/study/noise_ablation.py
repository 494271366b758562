"""What matters in the noise of a training: small networks, each without one part of it."""

from __future__ import annotations

from dataclasses import replace

from denoise_lib.damage.conditions import Noise
from denoise_lib.damage.outside import VariedRecording
from denoise_lib.damage.street import StreetMix
from denoise_lib.data.corpora import open_speech
from denoise_lib.data.crops import Damage, JoinedCrops, fixed_batch
from denoise_lib.models import CausalNet
from denoise_lib.names import number
from denoise_lib.study.experiment import Experiment
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
    experiment = f"{lab.run.name}:noise"
    place = replace(lab, corpus=open_speech(source))
    heard = open_speech(source, min_seconds=SHORTEST)
    made = {"made": sounds, "babbles": max(1, round(0.3 * sounds))}
    parts = Noise(source, "train", speech=source).outside(**made)
    unheard = Noise(source, "valid", speech=source).outside(**made)
    test = Noise(source, split, snr_db, source).mix(StreetMix)
    variants: dict[str, Damage] = {ALL: parts}
    variants |= {f"without {part}": parts.without(part) for part in parts.parts}
    variants[SPEECH_AS_IT_IS] = parts
    validation = fixed_batch(
        heard, heard.split("valid"), unheard, seed=lab.seed, seconds=2.0, max_clips=24
    )
    lines = []
    for name, noise in variants.items():
        model = lab.seeded(lambda: CausalNet.from_preset(preset))
        crops = JoinedCrops(
            heard,
            heard.split("train"),
            batch=lab.batch,
            seconds=lab.crop,
            seed=lab.seed,
            steps=schedule.steps,
            vary=None if name == SPEECH_AS_IT_IS else VariedRecording(),
        )
        path = lab.run.out / f"noise_{name.replace(' ', '_')}.safetensors"
        model, _ = train(
            model,
            crops,
            noise,
            validation,
            schedule,
            path,
            loss=LOSSES[model.loss],
            precision=lab.precision,
            label=name,
            progress=lab.run.progress,
        )
        condition = f"kept-out noise, {snr_db:g} dB"
        place.score(model, condition, test, experiment, name=name, splits=(split,))
        rows = [lab.run.value(condition, name, metric, split, experiment) for metric in lab.metrics]
        if not lines:
            lines.append(["noisy", *(row["noisy"] for row in rows), None])
        far = None
        if name != ALL:
            row = lab.run.compare(
                (experiment, name),
                (experiment, ALL),
                condition=condition,
                split=split,
                metric="si_sdr",
                experiment=experiment,
            )
            low, high = (number(each, 1) for each in row["ci95"] or (None, None))
            far = f"{number(row['mean'], 1)} [{low}, {high}]"
        lines.append([name, *(row["denoised"] for row in rows), far])
    return lines
