"""The ablation: one change a line, alike otherwise, and no test clip touched."""

import pytest
import torch

from denoise_lib.models import ConvAutoencoder, UNet
from denoise_lib.study.ablation import VARIANTS, Variant, ablation
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.run import Run
from denoise_lib.training.loop import Schedule
from denoise_lib.training.losses import si_sdr_loss, wsdr_loss


def tiny():
    return ConvAutoencoder(channels=4, kernel=64, stride=8)


def test_lines_rows_and_crops(tmp_path, speech, monkeypatch):
    lab = Experiment(
        Run("06_why_it_works", tmp_path / "06_why_it_works"),
        speech,
        batch=2,
        crop=0.2,
        validation_clips=2,
        max_clips=2,
        max_seconds=0.5,
        metrics=["wsdr", "si_sdr"],
    )
    seen = []
    train = Experiment.train

    def listening(self, model, damage, schedule, label, **options):
        seen.append((label, self.batch, self.crop, options["loss"]))
        return train(self, model, damage, schedule, label, **options)

    monkeypatch.setattr(Experiment, "train", listening)
    variants = {"one": Variant(tiny), "one, longer": Variant(tiny, si_sdr_loss, longer=2)}
    lines = ablation(lab, Schedule(2, validate_every=2), variants)
    assert seen == [
        ("ablation_one", 2, 0.2, wsdr_loss),
        ("ablation_one_longer", 1, 0.4, si_sdr_loss),
    ]
    assert [line[0] for line in lines] == ["noisy", "one", "one, longer"]
    count = sum(each.numel() for each in tiny().parameters())
    row = lab.run.value("both", "one", split="valid", experiment="06_why_it_works:ablation")
    assert lines[1][1] == count and lines[1][3] == row["denoised"]
    assert lines[0][3] == row["noisy"] < -0.5
    assert {each["split"] for each in lab.run.rows} == {"valid"}
    times = {each["of"]: each["value"] for each in lab.run.measurements}
    assert set(times) == set(variants) and all(value >= 0 for value in times.values())
    (far,) = lab.run.differences
    assert (far["a"], far["b"], far["split"]) == ("one, longer", "one", "valid")
    assert far["mean"] == pytest.approx(lines[2][3] - lines[1][3])
    assert lines[1][-1] is lines[0][-1] is None and lines[2][-1].endswith("]")


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_another_network_or_training(name):
    torch.manual_seed(0)
    variant, first = VARIANTS[name], VARIANTS["unet"]
    made = variant.make()
    differs = variant.loss != first.loss or variant.longer != first.longer
    differs |= type(made) is not UNet or made.config != first.make().config
    assert differs == (name != "unet")
