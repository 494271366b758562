"""What the page computes itself, in JavaScript, against the library: network, damage, measures."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

import denoise_lib
from denoise_lib import Corruption, load_pretrained
from denoise_lib.audio import to_level
from denoise_lib.damage.corruption import Positions
from denoise_lib.errors import UserError
from denoise_lib.models.causal import CausalNet
from denoise_lib.models.checkpoints import save_model
from denoise_lib.models.inference import process
from denoise_lib.paths import ROOT, TEMPLATE
from denoise_lib.recordings.level import Meter
from denoise_lib.report.page_network import page_network

SCRIPTS = ("spectra", "kernel", "causal", "fixed_damage", "level", "measures")
# Reads float32 files of a folder by name, and writes what the script gives back in the same way.
FRAME = """
const fs = require("fs"), folder = process.argv[1];
const file = (name) => `${folder}/${name}`;
const read = (name) => new Float32Array(new Uint8Array(fs.readFileSync(file(name))).buffer);
const write = (name, values) =>
    fs.writeFileSync(file(name), Buffer.from(Float32Array.from(values).buffer));
"""


def javascript(folder: Path, script: str, **arrays: np.ndarray) -> dict:
    """Run a script of node with the page's functions; what it logs is read as JSON."""
    assert shutil.which("node"), "there is no node: `make test` needs it"
    for name, values in arrays.items():
        np.asarray(values, "f4").tofile(folder / name)
    page = "\n".join((TEMPLATE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    (folder / "script.js").write_text(page + script, encoding="utf-8")
    run = subprocess.run(
        [
            "node",
            "-e",
            f"{FRAME} eval(fs.readFileSync(`${{folder}}/script.js`, 'utf8'))",
            str(folder),
        ],
        capture_output=True,
        text=True,
    )
    assert not run.returncode, run.stderr[-2000:]
    return json.loads(run.stdout) if run.stdout else {}


def got(folder: Path, name: str) -> np.ndarray:
    return np.fromfile(folder / name, "f4")


def error_db(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * np.log10(np.square(one - other).sum() / np.square(other).sum())


def sound(name: str, seconds: float = 10) -> np.ndarray:
    samples, rate = soundfile.read(ROOT / "audio" / f"{name}.flac", dtype="float32")
    assert rate == denoise_lib.RATE
    return samples[: round(seconds * rate)]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "network.json"
    path.write_text(json.dumps(page_network()))
    return path


def test_the_network_is_torch_s(network, tmp_path):
    noisy = sound("ex_street")
    level = Meter(denoise_lib.RATE, 1)
    level.add(noisy[:, None])
    nominal = noisy * np.float32(0.05 / level.level[0])
    found = javascript(
        tmp_path,
        f"""
        const {{ config, weights }} = JSON.parse(fs.readFileSync({str(network)!r}));
        const noisy = read("noisy"), held = halves(weights);
        const started = process.cpuUsage();
        write("estimate", new CausalNet(config, held).denoise(noisy));
        const seconds = process.cpuUsage(started).user / 1e6;
        const room = new Workshop(2 ** 23, false), short = noisy.slice(0, 8000);
        write("slow", new CausalNet(config, held, room).denoise(short));
        write("fast", new CausalNet(config, held).denoise(short));
        console.log(JSON.stringify({{ factor: noisy.length / 16000 / seconds }}));
        """,
        noisy=nominal,
    )
    expected = process(load_pretrained("speech"), torch.from_numpy(nominal)).numpy()
    # Weights of 16 bits cost -75 dB.
    assert error_db(got(tmp_path, "estimate"), expected) < -60
    # Without SIMD the sums are the same, only slower.
    assert error_db(got(tmp_path, "slow"), got(tmp_path, "fast")) < -90
    print(f"{found['factor']:.1f} times real time")  # no test: machines differ


def test_layers_at_the_finest_resolution_are_torch_s(tmp_path):
    torch.manual_seed(0)
    # The page's kernel takes four channels at a time.
    model = CausalNet(64, 32, (8, 16), (2, 1), (1, 2), fine=(1, 4))
    with torch.no_grad():
        for each in model.state_dict().values():
            if each.is_floating_point():
                each.copy_(0.1 + 0.4 * torch.rand_like(each) - 0.2 * (each.ndim > 1))
    model.eval()
    save_model(tmp_path / "tiny.safetensors", model)
    path = tmp_path / "network.json"
    path.write_text(json.dumps(page_network(tmp_path / "tiny.safetensors")))
    noisy = np.random.default_rng(0).normal(0, 0.05, 4000).astype(np.float32)
    javascript(
        tmp_path,
        f"""
        const {{ config, weights }} = JSON.parse(fs.readFileSync({str(path)!r}));
        write("estimate", new CausalNet(config, halves(weights)).denoise(read("noisy")));
        """,
        noisy=noisy,
    )
    with torch.inference_mode():
        expected = model(torch.from_numpy(noisy)[None])[0].numpy()
    assert error_db(noisy, expected) > -20 and error_db(got(tmp_path, "estimate"), expected) < -50


def test_a_network_that_the_page_cannot_run_is_refused(tmp_path):
    save_model(tmp_path / "odd.safetensors", CausalNet(64, 32, (8, 6), (2, 1), (1, 2)))
    with pytest.raises(UserError, match="widths that are multiples of 4, not 6"):
        page_network(tmp_path / "odd.safetensors")


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.02, 0.02)])
def test_recordings_of_any_level_are_enhanced_as_the_library_does(network, tmp_path, gain, offset):
    noisy = np.float32(gain) * (sound("ex_street2", 2) + np.float32(offset))
    if not offset:
        noisy[4000:9000] = 0  # digital silence, which stays so
    javascript(
        tmp_path,
        f"""
        const {{ config, weights }} = JSON.parse(fs.readFileSync({str(network)!r}));
        const network = new CausalNet(config, halves(weights));
        write("estimate", enhance(network, read("noisy"), () => {{}}));
        """,
        noisy=noisy,
    )
    estimate = got(tmp_path, "estimate")
    expected = denoise_lib.enhance(noisy, "speech")
    assert error_db(estimate, expected) < -60
    assert offset or not estimate[5000:8000].any()


def test_a_transform_of_640_is_numpy_s(tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 640))
    javascript(
        tmp_path,
        """
        const [real, imaginary] = ["re", "im"].map((name) => Float64Array.from(read(name)));
        transform(real, imaginary, -1);
        write("real", real); write("imaginary", imaginary);
        """,
        re=x[0],
        im=x[1],
    )
    expected = np.fft.fft(x.astype("f4")[0] + 1j * x.astype("f4")[1])
    found = got(tmp_path, "real") + 1j * got(tmp_path, "imaginary")
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings", [{}, {"zero": 0.6, "raised": 0.0}, {"zero": 0.0, "raised": 0.25, "value": 2.0}]
)
def test_the_damage_is_the_library_s(tmp_path, settings):
    clean = to_level(torch.from_numpy(sound("clean", 1.5)))
    javascript(
        tmp_path,
        f"""
        const damage = new FixedDamage({json.dumps(settings)}), clean = read("clean");
        const {{ zeroed, raised }} = damage.draw(damage.spectrum(clean), 7);
        write("zeroed", zeroed); write("raised", raised);
        write("damaged", damage.apply(clean, 7));
        """,
        clean=clean.numpy(),
    )
    procedure = Corruption(**settings)
    spectrum = procedure.stft(clean[None])
    shape = spectrum.shape[2], spectrum.shape[1]
    positions = Positions(
        *(
            torch.from_numpy(got(tmp_path, each).reshape(shape).T > 0)[None]
            for each in ("zeroed", "raised")
        )
    )
    damaged = procedure.istft(procedure.apply(spectrum, positions), len(clean))[0].numpy()
    assert error_db(got(tmp_path, "damaged"), damaged) < -100
    own = procedure.draw(spectrum, torch.Generator().manual_seed(0))
    assert [int(each.sum()) for each in positions] == [int(each.sum()) for each in own]
    magnitude = spectrum.abs()
    if settings.get("zero", 1):
        assert magnitude[positions.zeroed].min() >= magnitude.quantile(0.899)
    if settings.get("raised", 1):
        small = magnitude[positions.raised & ~positions.zeroed]
        # What was zeroed is small then, so that as many more count as large.
        assert small.max() <= magnitude.quantile(0.905)


def test_a_slider_moves_nothing_else(tmp_path):
    """What a small share zeroes, a larger one zeroes too."""
    found = javascript(
        tmp_path,
        """
        const drawn = [0.1, 0.3].map((zero) => {
            const damage = new FixedDamage({ zero });
            return damage.draw(damage.spectrum(read("clean")), 3).zeroed;
        });
        const both = drawn[0].filter((mark, i) => mark && drawn[1][i]).length;
        console.log(JSON.stringify({ few: total(drawn[0]), many: total(drawn[1]), both }));
        """,
        clean=sound("clean", 0.5),
    )
    assert 0 < found["both"] == found["few"] < found["many"]


def test_measures_are_the_library_s(tmp_path):
    clean, noisy, estimate = (sound(each, 2) for each in ("clean", "ex_01_80", "out_01"))
    size = min(map(len, (clean, noisy, estimate)))
    clean, noisy, estimate = clean[:size], noisy[:size], estimate[:size]
    found = javascript(
        tmp_path,
        """
        const [clean, noisy, estimate] = ["clean", "noisy", "estimate"].map(read);
        const scores = [wsdr(estimate, clean, noisy), siSdr(estimate, clean)];
        console.log(JSON.stringify([...scores, speechLevel(noisy)]));
        """,
        clean=clean,
        noisy=noisy,
        estimate=estimate,
    )
    tensors = [torch.from_numpy(each) for each in (estimate, clean, noisy)]
    assert found[0] == pytest.approx(float(denoise_lib.wsdr(*tensors)), abs=1e-5)
    expected = scale_invariant_signal_distortion_ratio(*tensors[:2])
    assert found[1] == pytest.approx(float(expected), abs=1e-3)
    meter = Meter(denoise_lib.RATE, 1)
    meter.add(noisy[:, None])
    assert found[2]["level"] == pytest.approx(meter.level[0], rel=1e-4)
    assert found[2]["offset"] == pytest.approx(meter.offset[0], abs=1e-6)


def ebur128(samples: np.ndarray) -> float:
    """Integrated loudness by FFmpeg's filter, LUFS; it prints tenths and keeps thousandths."""
    import av

    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=48000, layout="mono", time_base="1/48000")
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts = 48000, 0
    source.push(frame)
    source.push(None)
    found = None
    while True:
        try:
            found = dict(sink.pull().metadata) or found
        except (av.error.BlockingIOError, av.error.EOFError):
            return float(found["lavfi.r128.I"])


@pytest.mark.parametrize("kind", ["tone", "speech", "quiet end"])
def test_loudness_is_that_of_the_recommendation(tmp_path, kind):
    time = np.arange(48000 * 3) / 48000
    wave = {
        "tone": np.sin(2 * np.pi * 997 * time),
        "speech": np.interp(time, np.arange(48000) / 16000, np.resize(sound("clean", 3), 48000)),
        "quiet end": 0.1 * np.sin(2 * np.pi * 997 * time) * np.where(time < 1.5, 1, 0.003),
    }[kind].astype("f4")
    found = javascript(
        tmp_path, "console.log(JSON.stringify([loudness(read('wave'))]));", wave=wave
    )[0]
    assert found == pytest.approx(ebur128(wave), abs=0.06)
    if kind == "tone":  # as the recommendation says of a full-scale sine in one channel
        assert found == pytest.approx(-3.01, abs=0.01)
