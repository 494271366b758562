"""Training batches are a function of seed and step; a clip's damage is its own."""

import pytest
import torch
from small_corpus import small_corpus

from denoise_lib import RATE, Corruption
from denoise_lib.damage.augment import OneOf, vary_speech
from denoise_lib.damage.conditions import no_damage
from denoise_lib.data.corpora import open_speech
from denoise_lib.data.crops import (
    CleanCrops,
    JoinedCrops,
    damaged_batches,
    fixed_batch,
    fixed_clip,
    spread,
    stretched,
)
from denoise_lib.errors import UserError


def crops(corpus, **changes):
    settings = {"batch": 4, "seconds": 0.3, "seed": 0, "steps": 5} | changes
    return CleanCrops(corpus, corpus.split("train"), **settings)


def test_a_batch_depends_on_seed_and_step_only():
    corpus = small_corpus()
    straight = [crops(corpus)[step] for step in range(5)]
    backwards = [crops(corpus)[step] for step in reversed(range(5))][::-1]
    for one, other in zip(straight, backwards, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(straight[0], straight[1])
    assert not torch.equal(straight[0], crops(corpus, seed=1)[0])


def test_damage_for_apple_s_gpu_is_made_on_the_processor(monkeypatch):
    """That GPU has no numbers of 64 bits; the finished batch goes there."""
    order = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, place: (order.append(str(place)), self)[1])

    def damage(clean, generator):
        order.append("damage")
        return -clean

    for noisy, clean in damaged_batches(crops(small_corpus(), steps=2), damage, device="mps"):
        assert torch.equal(noisy, -clean)
    assert order == 2 * ["cpu", "damage", "mps", "mps"]


def test_resumed_batches_continue_the_uninterrupted_ones():
    corpus = small_corpus()
    whole = list(damaged_batches(crops(corpus), Corruption()))
    rest = list(damaged_batches(crops(corpus), Corruption(), first_step=3))
    assert len(whole) == 5 and len(rest) == 2
    for (noisy, clean), (same_noisy, same_clean) in zip(whole[3:], rest, strict=True):
        assert torch.equal(noisy, same_noisy) and torch.equal(clean, same_clean)


def test_varied_crops_are_the_same_crops_and_depend_on_seed_and_step_only():
    corpus = small_corpus()
    seen = []

    def nothing(speech, generator):
        seen.append(speech.clone())
        return speech

    plain = [crops(corpus)[step] for step in range(3)]
    for step in range(3):
        assert torch.equal(crops(corpus, vary=nothing)[step], plain[step])
        assert torch.equal(seen[step], plain[step])

    def everything(speech, generator):
        return vary_speech(speech, generator, share=1.0)

    varied = [crops(corpus, vary=everything)[step] for step in (2, 1, 0)][::-1]
    for step, batch in enumerate(varied):
        assert batch.shape == plain[step].shape and not (batch == plain[step]).all(1).any()
        assert torch.equal(batch, crops(corpus, vary=everything)[step])


def test_damage_is_made_of_the_varied_speech():
    corpus = small_corpus()
    varied = crops(corpus, vary=vary_speech, batch=16)
    helped = list(damaged_batches(varied, OneOf([no_damage, Corruption()]), workers=1))
    for step, (noisy, clean) in enumerate(helped):
        torch.testing.assert_close(clean, varied[step], atol=1e-5, rtol=0)
        same = (noisy == clean).all(1)
        assert same.any() and not same.all()


def test_damage_is_new_in_every_batch():
    corpus = small_corpus(per_split=1)
    whole_clip = crops(corpus, seconds=corpus.clips[0].samples / RATE, batch=2)
    (first, clean), (second, same) = list(damaged_batches(whole_clip, Corruption()))[:2]
    assert torch.equal(clean, same)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_worker_processes_give_the_same_batches():
    corpus = small_corpus()
    alone = list(damaged_batches(crops(corpus), Corruption()))
    helped = list(damaged_batches(crops(corpus), Corruption(), workers=2))
    for (noisy, _), (same, _) in zip(alone, helped, strict=True):
        # Workers run on one thread each and may sum in another order.
        torch.testing.assert_close(noisy, same, atol=1e-5, rtol=0)


def test_level_is_set_over_the_whole_clip_not_the_crop():
    corpus = small_corpus()
    whole = crops(corpus, seconds=5.0, batch=16)[0]
    # Padded with silence to 5 s: the energy is that of the clip at RMS 0.05.
    samples = {c.samples for c in corpus.split("train")}
    for energy in whole.square().sum(1).tolist():
        assert min(abs(energy / (0.05**2 * n) - 1) for n in samples) < 1e-3
    short = crops(corpus, seconds=0.1, batch=64)[0].square().mean(1).sqrt()
    assert float(short.max() / short.min()) > 2


def test_longer_clips_are_drawn_more_often():
    corpus = small_corpus()
    clips = corpus.split("train")
    batches = crops(corpus, seconds=5.0, batch=100, steps=20)  # as long as no clip is
    rows = (row for step in range(20) for row in batches[step])
    lengths = torch.tensor([float(int(row.nonzero().max()) + 1) for row in rows])
    counts = [float((lengths - clip.samples).abs().lt(3).double().mean()) for clip in clips]
    total = sum(clip.samples for clip in clips)
    for count, clip in zip(counts, clips, strict=True):
        assert count == pytest.approx(clip.samples / total, abs=0.05)


def test_fixed_clip_is_fixed_by_name_and_seed():
    corpus = small_corpus()
    clip, other = corpus.split("test")[:2]
    noisy, clean = fixed_clip(corpus, clip, Corruption(), 0)
    assert torch.equal(noisy, fixed_clip(corpus, clip, Corruption(), 0)[0])
    assert not torch.equal(noisy, fixed_clip(corpus, clip, Corruption(), 1)[0])
    assert float(clean.square().mean().sqrt()) == pytest.approx(0.05, rel=1e-4)
    assert len(fixed_clip(corpus, other, Corruption(), 0, max_seconds=0.5)[0]) == 0.5 * RATE


def test_fixed_batch_pads_nothing():
    corpus = small_corpus(seconds=1.0)  # 1.0 s, 1.31 s, 1.62 s
    noisy, clean = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=1.2)
    assert noisy.shape == clean.shape == (2, round(1.2 * RATE))
    assert (
        len(
            fixed_batch(
                corpus, corpus.split("valid"), Corruption(), seed=0, seconds=1, max_clips=1
            )[0]
        )
        == 1
    )
    with pytest.raises(UserError, match="9 s or more"):
        fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=9)


def test_a_choice_of_clips_covers_the_voices_and_grows():
    clips = open_speech().split("test")
    few, more = spread(clips, 30), spread(clips, 60)
    assert {clip.voice for clip in few} == {clip.voice for clip in clips}
    assert few == more[:30] and few == spread(clips[::-1], 30)
    assert sorted(spread(clips, 0), key=lambda clip: clip.name) == clips


def test_no_clips_are_refused():
    with pytest.raises(ValueError, match="no training clips"):
        CleanCrops(small_corpus(), [], batch=1, seconds=1, seed=0, steps=1)


# Joined clips ----------------------------------------------------------------------------------


def joined(corpus, **changes):
    settings = {"batch": 6, "seconds": 3.0, "seed": 0, "steps": 4} | changes
    return JoinedCrops(corpus, corpus.split("train"), **settings)


def test_joined_crops_depend_on_seed_and_step_only():
    corpus = small_corpus(seconds=0.8)
    straight = [joined(corpus)[step] for step in range(3)]
    backwards = [joined(corpus)[step] for step in reversed(range(3))][::-1]
    for one, other in zip(straight, backwards, strict=True):
        assert one.shape == (6, 3 * RATE) and torch.equal(one, other)
    assert not torch.equal(straight[0], joined(corpus, seed=1)[0])


def test_a_joined_crop_talks_on():
    """Three seconds of clips of one: no half of it is silent, and there are pauses."""
    for crop in joined(small_corpus(seconds=0.8), batch=20, speeds=(1.0,))[0]:
        level = crop.reshape(-1, 200).abs().amax(-1)
        assert (level[: len(level) // 2] > 0).any() and (level[len(level) // 2 :] > 0).any()
        assert (level == 0).any()


def test_a_voice_is_drawn_by_its_length_to_the_power_of_three_quarters():
    corpus = small_corpus()
    lengths = {}
    for clip in corpus.split("train"):
        lengths[clip.voice] = lengths.get(clip.voice, 0) + clip.samples
    wanted = torch.tensor([float(length) for length in lengths.values()]) ** 0.75
    torch.testing.assert_close(joined(corpus).weights, wanted)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_a_stretched_tone_is_a_tone_at_another_pitch(factor):
    time = torch.arange(1600) / RATE
    tone = torch.sin(2 * torch.pi * 500 * time)  # whole periods: nothing is cut at the ends
    samples = round(1600 / factor)
    wanted = torch.sin(2 * torch.pi * 500 * factor * torch.arange(samples) / RATE)
    torch.testing.assert_close(stretched(tone, samples), wanted, atol=1e-4, rtol=0)
