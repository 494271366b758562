"""The fixed damage: exact counts, independence of the batch, an affine map."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import Corruption, wsdr
from denoise_lib.damage.corruption import FIXED, Positions, frame_at
from denoise_lib.damage.extremes import at_rank
from denoise_lib.data.crops import clip_generator


def speech_like(batch: int, time: int, seed: int = 0) -> torch.Tensor:
    """Noise with a falling spectrum at the nominal level, (batch, time)."""
    noise = torch.randn(batch, time, generator=torch.Generator().manual_seed(seed))
    noise = torch.nn.functional.avg_pool1d(noise[:, None], 5, 1, 2, count_include_pad=False)[:, 0]
    return 0.05 * noise / noise.square().mean(-1, keepdim=True).sqrt()


def test_stft_matches_numpy_frame_by_frame():
    x = speech_like(1, 4001)[0]
    ours = Corruption().stft(x[None])[0]
    padded = np.pad(x.numpy(), 320)
    for frame in (0, 1, 12, 25):
        theirs = np.fft.rfft(padded[160 * frame : 160 * frame + 640])
        np.testing.assert_allclose(ours[:, frame].numpy(), theirs, atol=1e-5)
    assert ours.shape == (321, 1 + 4001 // 160)


@given(time=st.integers(1, 3000), window=st.sampled_from(["rect", "hann"]))
@settings(max_examples=40, deadline=None)
def test_round_trip_without_damage(time, window):
    x = speech_like(2, time)
    untouched = Corruption(zero=0, raised=0, window=window)(x)
    assert untouched.shape == x.shape
    # float32: |x| is about 0.05, so 1e-6 is a hundred thousandth of it. A Hann window's overlap
    # sum is smallest at the signal's ends, where centred frames still overlap.
    torch.testing.assert_close(untouched, x, atol=1e-6, rtol=0)


class OnApple(torch.Tensor):
    """Calls itself a tensor on Apple's GPU, and has none of 64 bits, as there."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.device.__get__:
            return torch.device("mps")
        plain = [each.as_subclass(torch.Tensor) if isinstance(each, cls) else each for each in args]
        if function is torch.Tensor.cpu:
            return plain[0]
        found = super().__torch_function__(function, types, args, kwargs)
        assert getattr(found, "dtype", None) is not torch.float64
        return found


def test_positions_on_apple_s_gpu_are_those_of_the_processor(monkeypatch):
    spectrum = Corruption().stft(speech_like(2, 8000))
    expected = Corruption().draw(spectrum, clip_generator("a"))
    to = torch.Tensor.to
    monkeypatch.setattr(
        torch.Tensor,
        "to",
        lambda self, *a: self.as_subclass(OnApple) if a == (torch.device("mps"),) else to(self, *a),
    )
    drawn = Corruption().draw(spectrum.as_subclass(OnApple), clip_generator("a"))
    for found, mask in zip(drawn, expected, strict=True):
        assert isinstance(found, OnApple) and torch.equal(found.cpu(), mask)


@pytest.mark.parametrize("condition", FIXED)
def test_counts_are_exact(condition):
    procedure = Corruption.for_condition(condition)
    spectrum = procedure.stft(speech_like(3, 16000))
    zeroed, raised = procedure.draw(spectrum, clip_generator("a"))
    total = spectrum[0].numel()
    large = round(0.1 * total)
    zeros = round(0.2 * large) if condition != "raise" else 0
    ones = round(0.5 * (total - large)) if condition != "zero" else 0
    assert zeroed.flatten(1).sum(1).tolist() == [zeros] * 3
    assert raised.flatten(1).sum(1).tolist() == [ones] * 3


def test_touches_only_what_it_may_and_writes_what_it_says():
    procedure = Corruption()
    spectrum = procedure.stft(speech_like(2, 8000))
    zeroed, raised = procedure.draw(spectrum, clip_generator("b"))
    magnitude = spectrum.abs()
    for clip in range(2):
        edge = np.quantile(magnitude[clip].numpy(), 0.9)
        assert (magnitude[clip][zeroed[clip]] >= edge * 0.999).all()
        # The quantile of the second change is taken after the first made some of them 0.
        after = np.where(zeroed[clip].numpy(), 0, magnitude[clip].numpy())
        assert (after[raised[clip].numpy()] <= np.quantile(after, 0.9) * 1.001).all()
    changed = procedure.apply(spectrum, Positions(zeroed, raised))
    assert (changed[raised] == 1).all()
    assert (changed[zeroed & ~raised] == 0).all()
    assert torch.equal(changed[~zeroed & ~raised], spectrum[~zeroed & ~raised])


def test_ties_do_not_change_counts():
    silence = torch.zeros(1, 3200)
    zeroed, raised = Corruption().draw(Corruption().stft(silence), clip_generator("silence"))
    total = 321 * 21
    assert int(zeroed.sum()) == round(0.2 * round(0.1 * total))
    assert int(raised.sum()) == round(0.5 * (total - round(0.1 * total)))


def test_a_clip_does_not_depend_on_its_batch():
    clips = speech_like(4, 6000)
    names = ["a", "b", "c", "d"]
    together = Corruption()(clips, [clip_generator(name) for name in names])
    for i, name in enumerate(names):
        alone = Corruption()(clips[i], clip_generator(name))
        torch.testing.assert_close(together[i], alone, atol=1e-6, rtol=0)


def test_same_name_same_damage_other_name_other_damage():
    x = speech_like(1, 6000)[0]
    assert torch.equal(Corruption()(x, clip_generator("a")), Corruption()(x, clip_generator("a")))
    assert not torch.equal(
        Corruption()(x, clip_generator("a")), Corruption()(x, clip_generator("b"))
    )
    assert not torch.equal(
        Corruption()(x, clip_generator("a", seed=0)), Corruption()(x, clip_generator("a", seed=1))
    )


def test_random_choice_is_uniform():
    """Each large coefficient is zeroed in a fifth of the draws."""
    procedure = Corruption.for_condition("zero")
    spectrum = procedure.stft(speech_like(1, 1600))
    draws = torch.stack(
        [procedure.draw(spectrum, clip_generator(str(i))).zeroed[0] for i in range(400)]
    )
    share = draws.double().mean(0)
    share = share[share > 0]
    # 400 draws: standard deviation 0.02; five of them leave room for the largest of 353.
    assert abs(float(share.mean()) - 0.2) < 0.002  # 71 of 353
    assert float((share - 0.2).abs().max()) < 0.1


def test_given_the_positions_the_damage_is_affine():
    """y = iSTFT(M STFT(x)) + iSTFT(c), DESIGN's fact on which exact inversion rests."""
    procedure = Corruption()
    x = speech_like(1, 5000)
    spectrum = procedure.stft(x)
    positions = procedure.draw(spectrum, clip_generator("affine"))
    touched = positions.zeroed | positions.raised
    constant = torch.zeros_like(spectrum).masked_fill(positions.raised, 1)
    expected = procedure.istft(spectrum * ~touched, 5000) + procedure.istft(constant, 5000)
    torch.testing.assert_close(
        procedure.istft(procedure.apply(spectrum, positions), 5000), expected
    )


def test_stronger_damage_scores_worse():
    x = speech_like(1, 16000)[0]
    for name in ("zero", "raised"):
        ladder = []
        for share in (0.1, 0.3, 0.6, 0.9):
            y = Corruption(**{"zero": 0, "raised": 0, name: share})(x, clip_generator("ladder"))
            ladder.append(float(wsdr(y, x, y)))
        assert ladder == sorted(ladder), (name, ladder)


@pytest.mark.parametrize(
    "wrong", [{"zero": 1.5}, {"quantile": -0.1}, {"hop": 0}, {"hop": 641}, {"window": "kaiser"}]
)
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Corruption(**wrong)


def test_unknown_condition_is_named():
    with pytest.raises(ValueError, match="'louder'"):
        Corruption.for_condition("louder")


@pytest.mark.parametrize(("n_fft", "hop"), [(640, 400), (640, 640), (641, 321), (7, 7)])
@pytest.mark.parametrize("samples", [1, 640, 1279, 1280, 5000])
def test_frames_that_hardly_overlap_lose_no_sample(n_fft, hop, samples):
    procedure = Corruption(zero=0, raised=0, n_fft=n_fft, hop=hop)
    waveform = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(procedure(waveform), waveform, atol=1e-5)


def test_a_hann_window_without_overlap_is_refused():
    Corruption(n_fft=640, hop=320, window="hann")
    with pytest.raises(ValueError, match="leave gaps"):
        Corruption(n_fft=640, hop=321, window="hann")


@pytest.mark.parametrize("window", ["rect", "hann"])
def test_the_window_lies_where_the_waveform_does(window):
    like = torch.zeros(1, dtype=torch.float64, device="meta")
    made = Corruption(window=window).window_like(like)
    assert (made.device, made.dtype, made.shape) == (like.device, like.dtype, (640,))


def test_the_shortest_hop_is_one_sample():
    assert Corruption(n_fft=8, hop=1).stft(torch.zeros(1, 20)).shape[-1] == 21
    with pytest.raises(ValueError, match="hop"):
        Corruption(hop=0)


def test_a_batch_has_as_many_frames_as_its_clips_alone():
    waveform = torch.zeros(100, 961)
    alone = Corruption().stft(waveform[:1]).shape[-1]
    assert Corruption().stft(waveform).shape[-1] == alone == 1 + 961 // 160
    wide = Corruption(n_fft=640, hop=400)  # frames that overlap by less than half are padded
    assert wide.stft(torch.zeros(1, 801)).shape[-1] == 4
    assert wide.stft(torch.zeros(399, 801)).shape[-1] == 4


def test_a_frame_lasts_as_long_at_every_rate():
    assert frame_at(16000) == {"n_fft": 640, "hop": 160}
    assert frame_at(48000) == {"n_fft": 1920, "hop": 480}
    assert frame_at(48000, 2048, 512) == {"n_fft": 2048, "hop": 512}


# The same positions as ever ---------------------------------------------------------------------


def by_topk(procedure: Corruption, spectrum: torch.Tensor, generator) -> Positions:
    """What :meth:`Corruption.draw` has to draw, to the last coefficient: by selection of all."""

    def chosen(values, count, largest):
        places = values.topk(count, dim=1, largest=largest, sorted=False).indices
        return torch.zeros_like(values, dtype=torch.bool).scatter_(1, places, True)

    def subset(candidates, fraction):
        each = generator if isinstance(generator, list) else [generator]
        rows, columns = candidates.shape
        keys = torch.cat(
            [
                torch.rand(rows // len(each), columns, dtype=torch.float64, generator=one)
                for one in each
            ]
        ).masked_fill(~candidates, torch.inf)
        return chosen(keys, round(fraction * int(candidates[0].sum())), False)

    magnitude = spectrum.abs().flatten(1)
    count = round((1 - procedure.quantile) * magnitude.shape[1])
    zeroed = subset(chosen(magnitude, count, True), procedure.zero)
    large = chosen(magnitude.masked_fill(zeroed, 0), count, True)
    raised = subset(~large, procedure.raised)
    return Positions(zeroed.view(spectrum.shape), raised.view(spectrum.shape))


def bits(numbers: torch.Tensor) -> torch.Tensor:
    """What can be compared where there is NaN, and tells 0 from -0."""
    return numbers.contiguous().view(torch.uint8)


def sounds(kind: str) -> torch.Tensor:
    """Waveforms of a kind, (3, 6400)."""
    if kind == "silence":
        return torch.zeros(3, 6400)
    clips = speech_like(3, 6400, seed=5)
    if kind == "pauses":  # coefficients of 0 that are equal
        clips[:, 2000:6000] = 0
    elif kind == "coarse":  # many equal magnitudes
        clips = torch.zeros_like(clips).index_fill_(1, torch.arange(0, 6400, 640), 1.0)
    elif kind == "broken":
        clips[1, 100] = torch.nan
    return clips.double() if kind == "double" else clips


@pytest.mark.parametrize("kind", ["speech", "double", "silence", "pauses", "coarse", "broken"])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"raised": 0.0}, {"zero": 0.0}, {"quantile": 0.0}, {"quantile": 1.0}]
    + [{"zero": 1.0, "raised": 1.0}, {"quantile": 0.4, "window": "hann"}, {"n_fft": 64, "hop": 9}],
    ids=str,
)
def test_positions_and_waveforms_are_to_the_last_bit_those_of_a_full_selection(kind, parameters):
    procedure, clips = Corruption(**parameters), sounds(kind)
    for make in (
        lambda: torch.Generator().manual_seed(3),
        lambda: [clip_generator(name) for name in "abc"],
    ):
        spectrum, ours, theirs = procedure.stft(clips), make(), make()
        kept = spectrum.clone()
        drawn, expected = (procedure.draw(spectrum, ours), by_topk(procedure, spectrum, theirs))
        assert torch.equal(drawn.zeroed, expected.zeroed)
        assert torch.equal(drawn.raised, expected.raised)
        changed = spectrum.masked_fill(expected.zeroed, 0).masked_fill(expected.raised, 1.0)
        applied = procedure.apply(spectrum, drawn)
        assert torch.equal(bits(changed), bits(applied))
        assert torch.equal(bits(spectrum), bits(kept)), "applied to a copy"
        waveforms = procedure.istft(changed, clips.shape[-1]), procedure(clips, make())
        assert torch.equal(*map(bits, waveforms))
        states = ([each] if isinstance(each, torch.Generator) else each for each in (ours, theirs))
        assert all(torch.equal(a.get_state(), b.get_state()) for a, b in zip(*states, strict=True))


@given(
    st.lists(st.sampled_from([-1.5, 0.0, 0.25, 1.0, 2.0]) | st.floats(-5, 5), min_size=1),
    st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_the_value_at_a_rank_is_that_of_the_sorted_values(values, share):
    rank = round(share * (len(values) - 1))
    assert at_rank(np.array(values), rank) == sorted(values)[rank]


@pytest.mark.parametrize("rank", [0, 1, 40, 5000, 19000, 19999])
@pytest.mark.parametrize("order", ["random", "rising", "falling", "every 17th is large"])
def test_the_value_at_a_rank_of_many(rank, order):
    values = np.random.default_rng(rank).standard_normal(20000)
    if order in ("rising", "falling"):
        values.sort()
    elif order != "random":
        values[::17] += 100  # the sample tells nothing about the rest
    values = values[::-1] if order == "falling" else values
    assert at_rank(values, rank) == np.sort(values)[rank]
