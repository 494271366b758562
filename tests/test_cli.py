"""The command line: arguments arrive, and what goes wrong is one line and an exit status."""

import errno
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_corpus import small_corpus

from denoise_lib import RATE, Corruption, cli
from denoise_lib.commands.evaluate import chosen_metrics, evaluate
from denoise_lib.damage import conditions
from denoise_lib.data import corpora
from denoise_lib.errors import UserError
from denoise_lib.metrics.measures import ALL_METRICS, METRICS
from denoise_lib.models import cards
from denoise_lib.names import MODELS
from denoise_lib.report import page, publish, runner
from denoise_lib.training import loop

AUDIO = Path(__file__).resolve().parents[1] / "audio"


def run(capsys, *arguments):
    """(exit status, stdout, stderr) of `denoise ARGUMENTS`."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    out, err = capsys.readouterr()
    return caught.value.code, out, err


@pytest.fixture
def calls(monkeypatch):
    """What the bodies of the commands were called with."""
    calls = []

    def record(name):
        def called(*given, **options):
            calls.append((name, *given, *options.values()))
            return Path("report/index.html")

        return called

    monkeypatch.setattr(runner, "report", record("report"))
    monkeypatch.setattr(runner, "notebook", record("notebook"))
    monkeypatch.setattr(page, "build", lambda profile, root: record("page")(profile))
    monkeypatch.setattr(publish, "publish", record("publish"))
    monkeypatch.setattr(cards, "write_cards", lambda: calls.append(("cards",)) or [])
    return calls


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["report"], ("report", "quick", 1)),
        (["report", "--profile", "smoke", "--jobs", "2"], ("report", "smoke", 2)),
        (["notebook", "03_wavenet"], ("notebook", "03_wavenet", {}, "quick")),
        (
            ["notebook", "03_wavenet", "-p", "steps", "50", "-p", "snr_db", "-5"],
            ("notebook", "03_wavenet", {"steps": "50", "snr_db": "-5"}, "quick"),
        ),
        (
            ["notebook", "-p", "voice", "a=b c", "02_autoencoder", "--profile", "smoke"],
            ("notebook", "02_autoencoder", {"voice": "a=b c"}, "smoke"),
        ),
        (["page", "--profile", "smoke"], ("page", "smoke")),
    ],
)
def test_arguments_arrive(capsys, calls, arguments, call):
    status, _, err = run(capsys, *arguments)
    assert (status, err) == (0, "")
    assert calls == [call]


def test_publishing_writes_the_cards_anew(capsys, calls):
    """They hold scores of the published results."""
    assert run(capsys, "publish")[0] == 0
    assert calls == [("publish",), ("cards",)]


def test_what_the_user_can_put_right_is_one_line(capsys, monkeypatch):
    def fails(profile, jobs):
        raise UserError(f"no profile {profile!r}:\n  there are smoke and quick")

    monkeypatch.setattr(runner, "report", fails)
    status, out, err = run(capsys, "report", "--profile", "nope")
    assert (status, out) == (1, "")
    assert err == "denoise: no profile 'nope': there are smoke and quick\n"


def test_interruption_is_one_line(capsys, monkeypatch):
    def interrupted(profile, jobs):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "report", interrupted)
    assert run(capsys, "report") == (130, "", "denoise: interrupted\n")


def test_other_errors_are_not_hidden(monkeypatch):
    def broken(profile, jobs):
        raise ZeroDivisionError

    monkeypatch.setattr(runner, "report", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["report"])


@pytest.mark.parametrize("command", ["report", "notebook", "page"])
def test_unknown_profile_names_those_that_exist(capsys, command):
    arguments = [command, *(["04_dcunet"] if command == "notebook" else []), "--profile", "nope"]
    status, _, err = run(capsys, *arguments)
    assert status == 1
    assert err.startswith("denoise: ")
    assert err.count("\n") == 1
    for name in ("nope", "smoke", "quick", "full"):
        assert name in err


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("wsdr,si_sdr,pesq,stoi", METRICS),
        ("all", ALL_METRICS),
        ("pesq, wsdr,pesq", ("wsdr", "pesq")),
    ],
)
def test_measures_are_chosen_by_name(given, wanted):
    assert chosen_metrics(given) == wanted
    assert inspect.signature(evaluate).parameters["metrics"].default == ",".join(METRICS)


@pytest.mark.parametrize("given", ["wsdr,visqol", "", " , ", "all,visqol"])
def test_unknown_measure_is_one_line_that_names_all(capsys, given):
    status, _, err = run(capsys, "evaluate", "dcunet-stft", "--metrics", given)
    assert status == 1 and err.startswith("denoise: --metrics: ") and err.count("\n") == 1
    assert ("'visqol'" in err) == ("visqol" in given)
    assert all(metric in err for metric in ALL_METRICS)


def test_a_corpus_in_pairs_is_scored_on_its_own_noise(capsys, tmp_path):
    """Speech and orthogonal noise at 6 dB: the noisy SI-SDR is known in closed form."""
    generator = np.random.default_rng(0)
    for index in range(2):
        speech, noise = 0.1 * generator.standard_normal((2, 2 * RATE))
        noise -= speech * (noise @ speech) / (speech @ speech)
        noise *= np.linalg.norm(speech) / np.linalg.norm(noise) / 2
        for folder, samples in (("clean", speech), ("noisy", speech + noise)):
            path = tmp_path / f"{folder}_testset_wav" / f"p232_{index}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, samples, RATE, subtype="FLOAT")
    options = ["--speech", str(tmp_path), "--condition", "own", "--metrics", "si_sdr"]
    status, out, _ = run(capsys, "evaluate", "gain", *options)
    assert status == 0 and re.search(r"noisy\s+6\.0\sdB .*n 2\n\s+denoised\s+6\.0\sdB", out)
    status, _, err = run(capsys, "evaluate", "gain", "--condition", "own", "--max-clips", "1")
    assert status == 1 and err.count("\n") == 1 and "no noisy recordings" in err


def test_help_of_evaluate_names_every_measure(capsys):
    _, out, _ = run(capsys, "evaluate", "--help")
    assert all(metric in out for metric in ALL_METRICS)


@pytest.mark.parametrize("vary", [True, False])
def test_a_mixture_of_conditions_arrives(capsys, monkeypatch, vary):
    trained, asked = [], []

    def training(*args, **options):
        trained.append((args, options))
        raise UserError("that is enough")

    monkeypatch.setattr(loop, "train", training)
    monkeypatch.setattr(corpora, "open_speech", lambda source, *rate: small_corpus())
    monkeypatch.setattr(
        conditions, "damage_for", lambda *given: asked.append(given) or Corruption()
    )
    mixture = "both,zero,raise,street,varied"
    options = ["--model", "unet", "--condition", mixture, "--steps", "7500", "--preset", "tiny"]
    options += ["--precision", "bf16-mixed", *["--vary", "--vary-share", "0.5"] * vary]
    status, _, err = run(capsys, "train", "unet.safetensors", *options)
    assert (status, err) == (1, "denoise: that is enough\n")
    (network, crops, _, _, schedule, out), options = trained[0]
    assert out == Path("unet.safetensors") and network.name == "unet"
    assert [each for each, _ in asked] == [mixture] * 2
    assert [noise.split for _, noise in asked] == ["train", "valid"]
    assert (crops.vary.keywords if vary else crops.vary) == ({"share": 0.5} if vary else None)
    assert (schedule.steps, schedule.validate_every, crops.seed) == (7500, 187, 0)
    assert (options["precision"], options["margin"]) == ("bf16-mixed", 0)


def test_help_of_train_names_every_network(capsys):
    _, out, _ = run(capsys, "train", "--help")
    assert all(name in out for name in MODELS)
    assert "--vary" in out and "varied" in out


def test_help_says_nothing_of_exceptions(capsys):
    for command in ("enhance", "train", "evaluate", "fetch"):
        assert "Raises" not in run(capsys, command, "--help")[1]


@pytest.mark.slow
def test_enhance_loads_only_what_it_needs(tmp_path):
    """No trainer, no measure, no plot: a recording is denoised in the time that torch takes."""
    code = (
        "import sys; from denoise_lib import cli\n"
        "try: cli.main(sys.argv[1:])\nfinally: print(*sys.modules)"
    )
    given = ["enhance", str(AUDIO / "ex_street.flac"), str(tmp_path / "o.wav")]
    done = subprocess.run(
        [sys.executable, "-c", code, *given, "--model", "dcunet-street"],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.split())
    assert "denoise_lib.models.dcunet" in loaded and (tmp_path / "o.wav").exists()
    heavy = {"torchmetrics", "onnxruntime", "lightning_fabric", "matplotlib", "librosa", "joblib"}
    assert not loaded & heavy
    ours = {name.split(".")[1] for name in loaded if name.startswith("denoise_lib.")}
    assert not ours & {"training", "metrics", "study", "report", "display", "listening_room"}
    assert not loaded & {"denoise_lib.models.unet", "denoise_lib.models.wavenet"}


def test_parameter_without_value_is_one_line(capsys, calls):
    status, _, err = run(capsys, "notebook", "03_wavenet", "-p", "steps")
    assert status == 1
    assert "-p takes a name and a value" in err
    assert calls == []


@pytest.mark.parametrize("arguments", [["notebook"], ["report", "--speed", "9"], ["dance"]])
def test_wrong_usage(capsys, calls, arguments):
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert "Traceback" not in err
    assert calls == []


def test_help_names_every_command(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for command in ("fetch", "report", "notebook", "page", "publish"):
        assert f"\n  {command} " in out


def test_fetch_says_what_there_is(capsys, speech, street):
    status, out, _ = run(capsys, "fetch")
    assert status == 0
    assert f"speech: {len(speech.clips)} clips" in out
    assert f"street: {len(street.clips)} clips" in out


def test_fetch_of_unknown_corpora_is_one_line(capsys):
    status, _, err = run(capsys, "fetch", "broad")
    assert status == 1
    assert "use default or wide" in err


@pytest.mark.slow
def test_fetch_without_network_and_cache_is_one_line(tmp_path):
    """The whole way, in a process of its own: an unreachable mirror, an empty cache."""
    settings = {"DENOISE_DATA": str(tmp_path), "DENOISE_MIRROR": "http://127.0.0.1:9/"}
    result = subprocess.run(
        [sys.executable, "-m", "denoise_lib.cli", "fetch"],
        env={**os.environ, **settings, "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "cannot be fetched" in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("denoise: ")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["train", "x.safetensors"], "--learning-rate"),
        (["train", "x.safetensors"], "--snr"),
        (["evaluate", "gain"], "--snr"),
        (["enhance", "in.wav", "out.wav"], "--chunk"),
    ],
)
def test_an_option_is_a_finite_number(capsys, command, option, value):
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, f"{option}={value}"])
    told = capsys.readouterr().err
    assert caught.value.code != 0 and option in told and "Traceback" not in told


def test_an_error_of_the_system_is_one_line(monkeypatch, capsys):
    """A full disk, for one."""

    def full(profile, jobs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "report/index.html")

    monkeypatch.setattr(runner, "report", full)
    with pytest.raises(SystemExit) as caught:
        cli.main(["report"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == "denoise: report/index.html: No space left on device\n"
