"""What the notebooks have in common: train on a damage, score both splits, keep examples."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from denoise_lib.damage.conditions import no_damage
from denoise_lib.damage.corruption import FIXED, Corruption, Positions, frame_at
from denoise_lib.damage.shifted import ChangedCorpus
from denoise_lib.data.corpora import Clip, Corpus
from denoise_lib.data.crops import (
    EXAMPLE_SECONDS,
    CleanCrops,
    Damage,
    clip_generator,
    drawn,
    fixed_batch,
    fixed_clip,
    spread,
)
from denoise_lib.display.player import LONGEST_HEARD, Player, compare
from denoise_lib.display.show import note
from denoise_lib.environment import chosen_precision
from denoise_lib.errors import UserError
from denoise_lib.metrics.evaluate import evaluate
from denoise_lib.metrics.intervals import interval
from denoise_lib.metrics.measures import METRICS, PERFECT, score
from denoise_lib.models.base import Denoiser
from denoise_lib.models.baselines import Identity
from denoise_lib.models.inference import device, process, runs_in
from denoise_lib.names import CONDITIONS, label
from denoise_lib.study.run import Row, Run
from denoise_lib.study.sentences import rounded, sentences
from denoise_lib.training.loop import Schedule, train
from denoise_lib.training.losses import LOSSES, Loss

SPLITS = ("test", "unseen_voice")
CHOICE_CLIPS = 24  # most validation clips on which the best network is chosen
LONGEST_SENTENCE = 5.0  # s of a sentence of the listening matrix
VALIDATION_SECONDS = 2.0  # of each validation clip
CHECKS = 5  # validations of an identity check, at least: a curve of fewer shows nothing
COPY_DB = 100.0  # SI-SDR above which a copy is called perfect: about that of 16-bit samples
Scores = dict[str, list[dict]]  # by split, one dict per clip, see metrics.evaluate


@dataclass
class Experiment:
    """One corpus, one seed, one output folder, for all trainings and scores of a notebook.

    Args:
        run: Where results go.
        corpus: Speech.
        seed: Fixes initial weights, crops, training damage, and the damage of each scored clip.
        batch: Crops in a training batch.
        crop: Length of a training crop, s.
        precision: That networks are trained and run in, see
            :func:`denoise_lib.training.loop.train`; scores are taken in 32 bits.
        workers: See :func:`denoise_lib.training.loop.train`.
        validation_clips: Clips that choose the best weights.
        max_clips: Most clips to score in a split, evenly of its voices; all when 0.
        slow_clips: Of how many of these, evenly of the voices, the slow measures are taken; of all
            when 0.
        max_seconds: Seconds of each scored clip's beginning to use; all of it when 0.
        metrics: Measures to take.
        n_fft, hop: Frame of the fixed damage in samples; 40 ms every 10 ms where they are 0.
    """

    run: Run
    corpus: Corpus
    seed: int = 0
    batch: int = 8
    crop: float = 1.0
    precision: str = "32-true"
    workers: int = 0
    validation_clips: int = 24
    max_clips: int = 0
    slow_clips: int = 0
    max_seconds: float = 10.0
    metrics: Sequence[str] = METRICS
    n_fft: int = 0
    hop: int = 0
    histories: dict[str, list[dict]] = field(default_factory=dict)

    @property
    def frame(self) -> dict[str, int]:
        """Frame and hop of the fixed damage, as arguments of ``Corruption``."""
        return frame_at(self.corpus.rate, self.n_fft, self.hop)

    def damage(self, condition: str) -> Corruption:
        """The fixed damage at the corpus's rate: "zero" alone, "raise" alone, or "both"."""
        return Corruption.for_condition(condition, **self.frame)

    def tell_rates(self, networks: dict[str, Denoiser]) -> None:
        """Say on the page which networks are for another sample rate than these clips have."""
        rates: dict[int, list[str]] = {}
        for name, network in networks.items():
            if network.rate not in (None, self.corpus.rate):
                rates.setdefault(network.rate, []).append(label(name))
        for rate, names in rates.items():
            note(
                f"Made for {rate} samples per second: {', '.join(names)}. Clips have "
                f"{self.corpus.rate} here: they are heard resampled, and what is changed is added."
            )

    def needed(self, notebook: str) -> Path:
        """Folder of an earlier notebook's run under the same profile.

        Raises:
            UserError: That notebook has not been run.
        """
        folder = self.run.out.parent / notebook
        if not (folder / "results.json").exists():
            raise UserError(
                f"{self.run.name} needs a run of {notebook}: "
                f"make notebook NB={notebook} PROFILE={self.run.profile}"
            )
        return folder

    def train(
        self,
        model: Denoiser,
        damage: Damage,
        schedule: Schedule,
        label: str,
        *,
        loss: Loss | None = None,
        margin: int | None = None,
        validation_damage: Damage | None = None,
        clips: list[Clip] | None = None,
    ) -> Denoiser:
        """Train on the training split and return the best weights; the history is kept by label.

        Args:
            label: Name of the checkpoint in the run's folder.
            loss, margin: The network's own when left out.
            validation_damage: Damage of the validation clips, where it is not the training's.
            clips: Train and validate on these clips instead (the identity check).
        """
        crops = CleanCrops(
            self.corpus,
            clips or self.corpus.split("train"),
            batch=self.batch,
            seconds=self.crop,
            seed=self.seed,
            steps=schedule.steps,
        )
        validation = fixed_batch(
            self.corpus,
            clips or self.corpus.split("valid"),
            validation_damage or damage,
            seed=self.seed,
            seconds=VALIDATION_SECONDS,
            max_clips=self.validation_clips,
        )
        model, self.histories[label] = train(
            model,
            crops,
            damage,
            validation,
            schedule,
            self.run.out / f"{label}.safetensors",
            loss=loss or LOSSES[model.loss],
            margin=model.margin if margin is None else margin,
            precision=self.precision,
            workers=self.workers,
            label=label,
            progress=self.run.progress,
        )
        return model

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split that are scored."""
        return spread(self.corpus.split(split), self.max_clips)

    def score(
        self,
        model: Denoiser,
        condition: str,
        damage: Damage,
        experiment: str | None = None,
        *,
        name: str | None = None,
        splits: tuple[str, ...] = SPLITS,
        corpus: Corpus | ChangedCorpus | None = None,
    ) -> Scores:
        """Score a model on the test clips and the unseen voice; rows and clips go to the run.

        Args:
            name: Whose rows these are; the model's own name when left out.
            splits: Which clips to score.
            corpus: Where their waveforms come from, if not from the experiment's own.

        Returns:
            Per split, one dict per clip (see :func:`~denoise_lib.metrics.evaluate.evaluate`).
        """
        scores = {}
        for split in splits:
            if clips := self.clips(split):
                scores[split] = self._evaluate(model, corpus or self.corpus, clips, damage)
                self.run.add(
                    scores[split],
                    condition=condition,
                    model=name or model.name,
                    split=split,
                    experiment=experiment,
                )
        return scores

    def validate(
        self,
        model: Denoiser,
        condition: str,
        damage: Damage,
        experiment: str | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Add a network's wSDR on validation clips, on which the page chooses the best network.

        The clips that judge the best network have then no part in choosing it.
        """
        most = min(CHOICE_CLIPS, self.max_clips or CHOICE_CLIPS)
        judge = replace(self, metrics=("wsdr",), max_clips=most)
        judge.score(model, condition, damage, experiment, name=name, splits=("valid",))

    def reference(
        self,
        condition: str,
        damage: Damage,
        experiment: str | None = None,
        *,
        splits: tuple[str, ...] = SPLITS,
    ) -> Scores:
        """Add the rows that bound every table: the damaged clips as they are, and the clean ones.

        The rows are of the models "identity" and "clean", the clean clip scored against itself,
        which shows what a perfect network would get. SNR and SI-SDR have no value there.

        Returns:
            Per split, one dict per clip (see :func:`~denoise_lib.metrics.evaluate.evaluate`).
        """
        scores = {}
        for split in splits:
            if clips := self.clips(split):
                scores[split] = self._evaluate(
                    Identity(), self.corpus, clips, damage, reference=True
                )
                clean = []
                for each in scores[split]:
                    reason = each["reason"] | each["clean_reason"]
                    clean.append(each | {"denoised": each["clean"], "reason": reason})
                for model, records in (("identity", scores[split]), ("clean", clean)):
                    self.run.add(
                        records,
                        condition=condition,
                        model=model,
                        split=split,
                        experiment=experiment,
                    )
        return scores

    def _evaluate(
        self,
        model: Denoiser,
        corpus: Corpus | ChangedCorpus,
        clips: list[Clip],
        damage: Damage,
        *,
        reference: bool = False,
    ) -> list[dict]:
        """What a model makes of clips, with the run's own seed, metrics and longest clip."""
        return evaluate(
            model,
            corpus,
            clips,
            damage,
            seed=self.seed,
            max_seconds=self.max_seconds or None,
            metrics=tuple(self.metrics),
            slow_clips=self.slow_clips,
            device=device(),
            reference=reference,
            precision=self.tell_precision(model),
        )

    def damaged(self, clip: Clip, procedure: Corruption) -> tuple[Tensor, Tensor, Positions]:
        """A clip, its own damage and the positions of that, as a batch of one."""
        clean = self.clean(clip)[None]
        positions = procedure.draw(procedure.stft(clean), clip_generator(clip.name, self.seed))
        return clean, procedure(clean, clip_generator(clip.name, self.seed)), positions

    def record(self, clip: Clip, estimate: Tensor, clean: Tensor, noisy: Tensor) -> dict:
        """Scores of a clip, a batch of one, as results keep them."""
        (before, why), (after, reason) = (
            score(each[0], clean[0], noisy[0], tuple(self.metrics), self.corpus.rate)
            for each in (noisy, estimate)
        )
        who = {"clip": clip.name, "voice": clip.voice}
        return {**who, "noisy": before, "denoised": after, "reason": why | reason}

    def denoise(
        self,
        network: Callable[[], Denoiser],
        schedule: Schedule,
        *,
        alone_steps: int,
        name: str = "",
        **options: Any,
    ) -> tuple[dict[str, Denoiser], dict[str, Scores]]:
        """Train and score a network for both changes, and from there one for each change alone.

        What undoes both undoes each, only not as well as it might; a third of the steps from there
        gives what all of them give from new weights.

        Args:
            network: Makes an untrained network; called under the experiment's seed.
            schedule: For both changes.
            alone_steps: Optimiser steps for zeroing alone, and for raising alone.
            name: Of this experiment, where the notebook holds another; checkpoints are then
                "<name>_<condition>", rows "<notebook>:<name>".
            options: For :meth:`train`.

        Returns:
            Networks by condition, and scores by condition and split.
        """
        where = f"{self.run.name}:{name}" if name else None

        def trained(condition: str, start: Denoiser, schedule: Schedule) -> Denoiser:
            return self.train(
                start,
                self.damage(condition),
                schedule,
                f"{name}_{condition}".lstrip("_"),
                **options,
            )

        both = trained("both", self.seeded(network), schedule)
        shorter = replace(schedule, steps=alone_steps)
        models = {
            each: both if each == "both" else trained(each, copy.deepcopy(both), shorter)
            for each in FIXED
        }
        scores = {}
        for each, model in models.items():
            scores[each] = self.score(model, each, self.damage(each), where)
            self.validate(model, each, self.damage(each), where)
        return models, scores

    def identity(
        self,
        network: Callable[[], Denoiser],
        schedule: Schedule,
        clips: int,
        *,
        experiment: str | None = None,
        label: str = "identity",
        **options: Any,
    ) -> tuple[Denoiser, Row]:
        """Can the network copy its input? Train and score it on the same few undamaged clips.

        However short the training is, it is validated ``CHECKS`` times, so that its curve shows
        how the network comes to copy.

        Returns:
            The trained network and its result row, see :meth:`copies`.
        """
        often = min(schedule.validate_every, max(1, schedule.steps // CHECKS))
        model = self.train(
            self.seeded(network),
            no_damage,
            replace(schedule, validate_every=often),
            label,
            clips=self.drawn("train", clips),
            **options,
        )
        return model, self.copies(model, clips, experiment)

    def copies(self, model: Denoiser, clips: int, experiment: str | None = None) -> Row:
        """Score a network on a few undamaged training clips.

        Returns:
            The result row (mean wSDR, which without noise is minus the cosine between clip and
            copy).
        """
        scores = evaluate(
            model,
            self.corpus,
            self.drawn("train", clips),
            no_damage,
            seed=self.seed,
            metrics=("wsdr",),
            device=device(),
        )
        rows = self.run.add(
            scores, condition="identity", model=model.name, split="train", experiment=experiment
        )
        return rows[0]

    def harm(self, model: Denoiser, name: str, experiment: str) -> Row:
        """How close to its input a network leaves clean speech: SI-SDR, dB, higher is better.

        A mean over the scored test clips; a perfect copy, whose SI-SDR is infinite, counts as
        ``COPY_DB``. There is none where the network gives a clip no score.

        Returns:
            The measurement.
        """
        judge = replace(self, metrics=("si_sdr",))
        scores = judge._evaluate(model, self.corpus, self.clips("test"), no_damage)
        found = [_copied_db(each) for each in scores]
        voices = [each["voice"] for each in scores]
        mean = low = high = math.nan
        if None not in found:
            mean, low, high = interval(found, voices)
        return self.run.measure(
            "SI-SDR of clean speech",
            name,
            None if math.isnan(mean) else mean,
            unit="dB",
            ci95=None if math.isnan(low) else [low, high],
            n=len(found),
            voices=len(set(voices)),
            experiment=experiment,
        )

    def seeded(self, network: Callable[[], Denoiser]) -> Denoiser:
        """A new network whose initial weights depend on the seed and on nothing before.

        It is for the corpus's sample rate, whatever the function makes, and has the damage's frame
        where it is to have that.
        """
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return network().at(self.corpus.rate, **self.frame)

    def drawn(self, split: str, count: int) -> list[Clip]:
        """Clips of a length to listen to, drawn by the seed, not by ear.

        Where too few are of such a length, those that are nearest to it follow.

        Raises:
            UserError: The split has no clip at all.
        """
        found = drawn(self.corpus, split, count, self.seed)
        low, high = (seconds * self.corpus.rate for seconds in EXAMPLE_SECONDS)
        others = [clip for clip in self.corpus.split(split) if clip not in found]
        others.sort(key=lambda clip: (max(low - clip.samples, clip.samples - high), clip.name))
        found += others[: count - len(found)]
        if not found:
            raise UserError(f"{self.corpus.name}: no clip in the split {split!r}: use more clips")
        return found

    def clip(self, name: str) -> Clip:
        """A clip by its name."""
        return next(clip for clip in self.corpus.clips if clip.name == name)

    def clean(self, clip: Clip) -> Tensor:
        """A clip as it is scored: the nominal level, at most ``max_seconds`` seconds; (time,)."""
        return fixed_clip(self.corpus, clip, no_damage, self.seed, self.max_seconds or None)[1]

    def scores(self, estimate: Tensor, clean: Tensor, noisy: Tensor) -> dict[str, float | None]:
        """This experiment's measures of one clip."""
        return score(estimate, clean, noisy, tuple(self.metrics), self.corpus.rate)[0]

    def denoised(self, model: Denoiser, noisy: Tensor) -> Tensor:
        """What a model makes of one waveform at the corpus's rate, (time,) -> (time,)."""
        heard, precision = noisy.to(device()), self.tell_precision(model)
        return process(model, heard, rate=self.corpus.rate, precision=precision).cpu()

    def tell_precision(self, model: Denoiser) -> str:
        """The precision to run a model in; that of a model with weights is told on the page."""
        precision = runs_in(model, chosen_precision(self.precision))
        if next(model.parameters(), None) is not None:
            self.run.precisions.add(precision)
        return precision

    def player(
        self,
        clip: Clip,
        condition: str,
        models: dict[str, Denoiser],
        *,
        title: str,
        listen_for: str,
        damage: Damage | None = None,
        key: str | None = None,
        publish_as: dict[str, tuple[str, str]] | None = None,
    ) -> Player:
        """A comparison player of clean, noisy and each model's output; the clip is kept.

        Args:
            condition: "zero", "raise", "both", "identity", or another with its ``damage``.
            models: By the name on the button.
            key: Name to keep the clip under; made of condition and clip when left out.
            publish_as: See :meth:`denoise_lib.study.run.Run.example`.
        """
        if damage is None:
            damage = no_damage if condition == "identity" else self.damage(condition)
        noisy, clean = fixed_clip(self.corpus, clip, damage, self.seed, self.max_seconds or None)
        versions = {"clean": clean, "noisy": noisy}
        for name, model in models.items():
            versions[name] = self.denoised(model, noisy)
        player = compare(
            versions,
            self.corpus.rate,
            title=title,
            listen_for=listen_for,
            scores={name: self.scores(each, clean, noisy) for name, each in versions.items()},
            seconds=LONGEST_HEARD,
        )
        if condition != "identity":  # nothing to compare with other networks' outputs
            self.keep(
                key or f"{condition}-{clip.name}", player, clip, condition, publish_as, versions
            )
        return player

    def hear(
        self,
        condition: str,
        models: dict[str, Denoiser],
        *,
        listen_for: str = "",
        damage: Damage | None = None,
    ) -> Player | None:
        """Keep what models make of the sentences of the page's listening matrix.

        Args:
            condition: "zero", "raise", "both", or another with its ``damage``.
            models: By the name in the matrix.
            listen_for: What to listen for; what the condition says when left out.

        Returns:
            A player of the first sentence, if the corpus has any. On the page its sounds are those
            of the matrix.
        """
        damage = damage or self.damage(condition)
        judge = replace(self, metrics=("wsdr", "si_sdr", "stoi"))
        player = None
        for order, (clip, sentence) in enumerate(sentences(self.corpus)):
            noisy, clean = fixed_clip(self.corpus, clip, damage, self.seed, LONGEST_SENTENCE)
            versions = {"clean": clean, "noisy": noisy}
            for name, model in models.items():
                versions[name] = self.denoised(model, noisy)
            scores = {name: judge.scores(each, clean, noisy) for name, each in versions.items()}
            versions = {name: rounded(each) for name, each in versions.items()}
            self.run.sentence(sentence, order, condition, versions, scores, self.corpus.rate)
            player = player or compare(
                versions,
                self.corpus.rate,
                title=f"{CONDITIONS[condition].written.capitalize()}: {sentence.who}",
                listen_for=listen_for or CONDITIONS[condition].listen_for,
                scores=scores,
            )
        return player

    def keep(
        self,
        key: str,
        player: Player,
        clip: Clip,
        condition: str,
        publish_as: dict[str, tuple[str, str]] | None = None,
        whole: dict[str, Tensor] | None = None,
    ) -> None:
        """Keep what a player plays of a clip, see :meth:`denoise_lib.study.run.Run.example`."""
        self.run.example(
            key,
            player,
            clip=clip.name,
            condition=condition,
            split=clip.split,
            voice=clip.voice,
            publish_as=publish_as,
            whole=whole,
        )

    @staticmethod
    def values(scores: list[dict], side: str, metric: str = "wsdr") -> list[float | None]:
        """One measure of every clip; ``side`` is "noisy" or "denoised"."""
        return [each[side][metric] for each in scores]

    def by_condition(self, scores: dict[str, Scores], name: str) -> dict[str, dict]:
        """WSDR of the test clips, noisy and denoised, by condition: what figures draw."""
        return {
            condition: {
                "noisy": self.values(by_split["test"], "noisy"),
                name: self.values(by_split["test"], "denoised"),
            }
            for condition, by_split in scores.items()
        }


def _copied_db(clip: dict) -> float | None:
    """SI-SDR of a copy, dB; that of a perfect one is ``COPY_DB``. None where there is none."""
    value = clip["denoised"]["si_sdr"]
    if value is None:
        return COPY_DB if clip["reason"].get("si_sdr") == PERFECT else None
    return min(value, COPY_DB)


def worst(scores: list[dict], metric: str = "wsdr") -> dict:
    """The clip whose denoised wSDR is highest, which is the worst; one without a score is worse."""
    values = [(each["denoised"][metric], each) for each in scores]
    return max(values, key=lambda pair: math.inf if pair[0] is None else pair[0])[1]
