"""ONNX files: what onnxruntime makes of them is what torch makes of the network."""

from pathlib import Path

import pytest
import torch

from denoise_lib import audio, cli, load_pretrained
from denoise_lib.commands.export import export as command
from denoise_lib.errors import UserError
from denoise_lib.models import CausalNet, DCUnet, DilatedContextNet, UNet
from denoise_lib.models.baselines import LogMMSE
from denoise_lib.models.export import difference, export, session
from denoise_lib.models.real_valued import Whole, stft, waves

AUDIO = Path(__file__).resolve().parents[1] / "audio"
NETWORKS = {
    "dcunet": lambda: DCUnet([(4, (5, 3), (2, 2)), (6, (3, 3), (2, 1))], 64, 16, "residual", 0.5),
    "dcunet polar": lambda: DCUnet([(4, (5, 3), (2, 2))], 64, 16, "polar"),
    "unet": lambda: UNet.from_preset("tiny", n_fft=64, hop=16, fine_bins=12),
    "causal": lambda: CausalNet.from_preset("tiny"),
    "germain": lambda: DilatedContextNet(channels=4, levels=3),
}


def awake(name):
    """A network whose last layer is not zero."""
    torch.manual_seed(0)
    model = NETWORKS[name]().eval()
    for each in model.parameters():
        torch.nn.init.normal_(each, std=0.1)
    return model


def clip(name, seconds=3):
    return audio.to_level(audio.load(AUDIO / f"{name}.flac", quiet=True)[: seconds * 16_000])


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_any_length_gives_what_torch_gives(tmp_path, name):
    model, path = awake(name), tmp_path / "x.onnx"
    export(model, path)
    for length in (1, 2, 777, 16_001, 20_077):
        noise = 0.05 * torch.randn(length, generator=torch.Generator().manual_seed(length))
        assert difference(path, model, noise) < 1e-5
    assert difference(path, model, clip("ex_street")) < 1e-5
    assert difference(path, model, torch.zeros(3000)) < 1e-6, "silence is finite, too"
    batch = torch.randn(3, 900, generator=torch.Generator().manual_seed(0))
    (out,) = session(path).run(None, {"noisy": batch.numpy()})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(out), model(batch), atol=1e-4, rtol=1e-4)


def test_hop_by_hop_with_its_state_gives_what_torch_gives(tmp_path):
    model, path = load_pretrained("speech"), tmp_path / "x.onnx"
    export(model, path, streaming=True)
    for name in ("ex_street", "ex_01_80"):
        assert difference(path, model, clip(name), streaming=True) < 1e-5
    assert difference(path, model, clip("ex_street")[:300], streaming=True) < 1e-5
    facts = session(path).get_modelmeta().custom_metadata_map
    assert (facts["rate"], facts["hop"]) == ("16000", "256") and "512 samples" in facts["latency"]


@pytest.mark.parametrize("name", ["dcunet-stft", "speech"])
@torch.inference_mode()
def test_shipped_networks_in_real_numbers(name):
    model, x = load_pretrained(name), clip("ex_01_80", 1)[None]
    torch.testing.assert_close(Whole(model)(x), model(x), atol=1e-5, rtol=0)


def test_a_frame_by_convolution_is_a_frame_by_fft():
    x, window = torch.randn(2, 500), torch.hann_window(64)
    frame = {"pad_mode": "constant", "return_complex": True}
    wanted = torch.stft(x, 64, 16, window=window, **frame)
    found = stft(x, 64, 16, window=window, **frame)
    torch.testing.assert_close(found.real, wanted.real, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.imag, wanted.imag, atol=1e-5, rtol=0)
    forth, back = waves(64)[:, 0], waves(64, inverse=True)[:, 0]
    torch.testing.assert_close(back.T @ forth, torch.eye(64), atol=1e-6, rtol=0)


def test_another_kind_of_frame_is_refused():
    with pytest.raises(ValueError, match="only centred frames"):
        stft(torch.zeros(1, 500), 64, 16, window=torch.ones(64), center=False, return_complex=True)


@pytest.mark.parametrize(
    ("model", "streaming", "told"),
    [
        (LogMMSE(), False, "log_mmse is no network"),
        (DilatedContextNet(channels=2, levels=1), True, "--streaming needs a causal network"),
        (CausalNet.from_preset("tiny", hop=16), True, "overlap by half"),
    ],
)
def test_what_cannot_be_exported_is_one_line(tmp_path, model, streaming, told):
    with pytest.raises(UserError, match=told):
        export(model, tmp_path / "x.onnx", streaming=streaming)
    assert not list(tmp_path.iterdir())


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("denoise_lib.models.export.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'denoise_lib\[export\]'"):
        export(awake("germain"), tmp_path / "x.onnx")


def test_the_command_checks_what_it_writes(tmp_path, monkeypatch, capsys):
    path = tmp_path / "x.onnx"
    from denoise_lib.models.checkpoints import save_model

    save_model(tmp_path / "tiny.safetensors", awake("germain"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", str(tmp_path / "tiny.safetensors"), str(path)])
    assert ended.value.code == 0 and path.exists()
    assert "onnxruntime differs from torch by" in capsys.readouterr().out
    monkeypatch.setattr("denoise_lib.models.export.difference", lambda *_, **__: 0.01)
    with pytest.raises(UserError, match="not written: onnxruntime's output differs .* 0.01"):
        command(str(tmp_path / "tiny.safetensors"), tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()
    with pytest.raises(UserError, match="name the file .onnx"):
        command("speech", tmp_path / "x.pt")
