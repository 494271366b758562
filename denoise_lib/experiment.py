"""What the notebooks have in common: train on a kind of damage, score both splits, keep examples."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from denoise_lib.batches import CleanCrops, Damage, fixed_batch, fixed_clip
from denoise_lib.checkpoints import model_name
from denoise_lib.corpora import Clip, Corpus
from denoise_lib.inference import process
from denoise_lib.labels import CONDITIONS
from denoise_lib.losses import wsdr_loss
from denoise_lib.metrics import METRICS, evaluate, score
from denoise_lib.results import Run
from denoise_lib.training import Loss, Schedule, train

SPLITS = ("test", "unseen_voice")
EXAMPLE_SECONDS = (2.5, 4.5)  # lengths of clips that are played on the page


def no_damage(waveform: Tensor, generator=None) -> Tensor:
    """The identity check's damage: none."""
    return waveform


@dataclass
class Experiment:
    """One corpus, one seed, one output folder, for all trainings and scores of a notebook.

    Args:
        run: Where results go.
        corpus: Speech.
        seed: Fixes initial weights, crops, training damage, and the damage of each scored clip.
        batch: Crops in a training batch.
        crop: Length of a training crop, s.
        precision: See :func:`denoise_lib.training.train`.
        workers: See :func:`denoise_lib.training.train`.
        validation_clips: Clips that choose the best weights.
        test_clips: Most clips to score in a split; all when 0.
        longest: Seconds of each scored clip's beginning to use; all of it when 0.
        metrics: Measures to take.
    """

    run: Run
    corpus: Corpus
    seed: int = 0
    batch: int = 8
    crop: float = 1.0
    precision: str = "32-true"
    workers: int = 0
    validation_clips: int = 24
    test_clips: int = 0
    longest: float = 10.0
    metrics: tuple[str, ...] = METRICS
    histories: dict[str, list[dict]] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where networks run."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def train(
        self,
        model: torch.nn.Module,
        damage: Damage,
        schedule: Schedule,
        label: str,
        *,
        loss: Loss = wsdr_loss,
        margin: int = 0,
        validation_damage: Damage | None = None,
        clips: list[Clip] | None = None,
    ) -> torch.nn.Module:
        """Train on the training split and return the best weights; the history is kept by label.

        Args:
            label: Name of the checkpoint in the run's folder.
            validation_damage: Damage of the validation clips, where it is not the training's.
            clips: Train and validate on these clips instead (the identity check).
        """
        crops = CleanCrops(
            self.corpus, clips or self.corpus.split("train"),
            batch=self.batch, seconds=self.crop, seed=self.seed, steps=schedule.steps,
        )  # fmt: skip
        validation = fixed_batch(
            self.corpus, clips or self.corpus.split("valid"), validation_damage or damage,
            seed=self.seed, seconds=2.0, most=self.validation_clips,
        )  # fmt: skip
        model, self.histories[label] = train(
            model, crops, damage, validation, schedule, self.run.out / f"{label}.safetensors",
            loss=loss, margin=margin, label=label, precision=self.precision, workers=self.workers,
        )  # fmt: skip
        return model

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split that are scored."""
        return self.corpus.split(split)[: self.test_clips or None]

    def score(
        self,
        model: torch.nn.Module,
        condition: str,
        damage: Damage,
        experiment: str | None = None,
    ) -> dict[str, list[dict]]:
        """Score a model on the test clips and the unseen voice; rows and clips go to the run.

        Returns:
            Per split, one dict per clip (see :func:`denoise_lib.metrics.evaluate`).
        """
        scores = {}
        for split in SPLITS:
            if clips := self.clips(split):
                scores[split] = evaluate(
                    model, self.corpus, clips, damage, seed=self.seed,
                    longest=self.longest or None, metrics=self.metrics, device=self.device,
                )  # fmt: skip
                self.run.add(
                    scores[split], condition=condition, model=model_name(model), split=split,
                    experiment=experiment,
                )  # fmt: skip
        return scores

    def identity(self, model: torch.nn.Module, schedule: Schedule, clips: int, **options):
        """Can the model copy its input? Train and score it on the same few undamaged clips.

        Returns:
            The trained model and its result row (mean wSDR, which is minus the cosine between
            clip and copy).
        """
        few = self.drawn("train", clips)
        model = self.train(model, no_damage, schedule, "identity", clips=few, **options)
        scores = evaluate(model, self.corpus, few, no_damage, seed=self.seed, metrics=("wsdr",),
                          device=self.device)  # fmt: skip
        return model, self.run.add(
            scores, condition="identity", model=model_name(model), split="train"
        )[0]

    def drawn(self, split: str, count: int) -> list[Clip]:
        """Clips of a length to listen to, drawn by the seed, not by ear."""
        low, high = (seconds * self.corpus.rate for seconds in EXAMPLE_SECONDS)
        fitting = [clip for clip in self.corpus.split(split) if low <= clip.samples <= high]
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(fitting), generator=generator).tolist()
        return [fitting[i] for i in order[:count]]

    def clip(self, name: str) -> Clip:
        """A clip by its name."""
        return next(clip for clip in self.corpus.clips if clip.name == name)

    def versions(
        self, clip: Clip, damage: Damage, models: dict[str, torch.nn.Module]
    ) -> tuple[dict[str, Tensor], dict[str, dict[str, float]]]:
        """Clean, noisy and denoised waveforms (time,) of one clip, and their scores by name."""
        noisy, clean = fixed_clip(self.corpus, clip, damage, self.seed, self.longest or None)
        versions = {"clean": clean, "noisy": noisy}
        for name, model in models.items():
            versions[name] = process(model, noisy.to(self.device)).cpu()
        scores = {
            name: score(waveform, clean, noisy, self.metrics)[0]
            for name, waveform in versions.items()
        }
        return versions, scores

    def keep_example(self, clip: Clip, condition: str, versions, scores) -> None:
        """Keep a clip's versions for the page's first player."""
        self.run.example(
            f"{condition}-{clip.name.replace('/', '-')}",
            clip=clip.name, condition=condition, split=clip.split, voice=clip.voice,
            versions=versions, scores=scores,
        )  # fmt: skip


def worst(scores: list[dict], metric: str = "wsdr") -> dict:
    """The clip whose denoised wSDR is highest, which is the worst."""
    return max(scores, key=lambda each: each["denoised"][metric])


def describe(row: dict, what: str) -> str:
    """Verdict sentence of a result row: before, after, interval and number of clips."""
    low, high = row["ci95"] or (float("nan"), float("nan"))
    return (
        f"{what} on {CONDITIONS.get(row['condition'], row['condition'])}: wSDR "
        f"{row['noisy']:.3f} before, {row['denoised']:.3f} after "
        f"[{low:.3f}, {high:.3f}] on {row['n']} clips"
    )
