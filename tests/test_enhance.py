"""`denoise enhance`: what goes out is like what came in, and nothing is lost on the way."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from sounds import RATE, as_bytes, film, place, voice
from test_cli import run

from denoise_lib.models import checkpoints
from denoise_lib.models.baselines import Gain, Identity

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """A network that changes nothing, or halves with --model half."""
    networks = {"half": lambda: Gain(0.5)}
    monkeypatch.setattr(checkpoints, "denoiser", lambda name: networks.get(name, Identity)())


@pytest.fixture
def noisy(tmp_path):
    """noisy.wav: two channels, 44.1 kHz, 24 bits."""
    samples = np.stack([voice(1.0, 44100), voice(1.0, 44100, seed=1)], 1)
    soundfile.write(tmp_path / "noisy.wav", samples, 44100, subtype="PCM_24")
    return tmp_path / "noisy.wav"


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_network_that_does_nothing_gives_every_sample_back(tmp_path, capsys, subtype, rate):
    samples = np.stack([voice(0.7, rate), voice(0.7, rate, seed=1)], 1)
    soundfile.write(tmp_path / "in.wav", samples, rate, subtype=subtype)
    assert run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/out.wav") == (0, "", "")
    ins, outs = (soundfile.info(tmp_path / name) for name in ("in.wav", "out.wav"))
    assert (outs.subtype, outs.samplerate, outs.frames) == (subtype, rate, ins.frames)
    before, after = (soundfile.read(tmp_path / name)[0] for name in ("in.wav", "out.wav"))
    step = {"PCM_U8": 2**-6, "PCM_16": 2**-15}.get(subtype, 1e-6)
    np.testing.assert_allclose(after, before, atol=step if subtype == "PCM_U8" else 1e-6)


@pytest.mark.parametrize(
    ("suffix", "rate", "loss"),
    [("flac", 44100, 0), ("aiff", 44100, 0), ("mp3", 44100, 0), ("ogg", 44100, 0)]
    + [("opus", 48000, 0), ("m4a", 44100, 1024)],
)
def test_the_suffix_decides_the_format(noisy, capsys, suffix, rate, loss):
    out = noisy.with_name(f"out.{suffix}")
    status, _, err = run(capsys, "enhance", str(noisy), str(out))
    assert status == 0 and (f"written at {rate} Hz" in err) == (rate != 44100)
    from denoise_lib import audio

    samples, found = audio.read(out)
    assert found == rate and samples.shape[1] == 2
    assert abs(len(samples) - rate) <= loss
    original, _ = audio.read(noisy)
    if rate == 44100:
        assert place(original[:11025, 0], samples[:, 0]) <= 1
    if suffix == "flac":
        assert soundfile.info(out).subtype == "PCM_24"


def test_a_format_can_be_asked_for(noisy, capsys):
    float_, flac = noisy.with_name("f.wav"), noisy.with_name("o")
    assert run(capsys, "enhance", str(noisy), str(float_), "--format", "float")[0] == 0
    assert soundfile.info(float_).subtype == "FLOAT"
    asked = ["--out", str(flac), "--format", "flac 16"]
    assert run(capsys, "enhance", str(noisy), *asked)[0] == 0
    assert soundfile.info(flac / "noisy.flac").subtype == "PCM_16"
    status, _, err = run(capsys, "enhance", str(noisy), "x.wav", "--format", "quartz")
    assert status == 1 and "'quartz'" in err


@pytest.mark.parametrize(
    ("name", "samples"), [("o.mp3", "float"), ("o.ogg", "24"), ("o.m4a", "32")]
)
def test_samples_that_a_file_cannot_have_are_refused(noisy, capsys, name, samples):
    target = noisy.with_name(name)
    status, _, err = run(capsys, "enhance", str(noisy), str(target), "--format", samples)
    assert (
        status == 1
        and f"has no samples of the format {samples}" in err
        and "leave the samples out" in err
    )
    assert list(noisy.parent.glob("o.*")) == []


def test_quiet_floats_keep_their_precision(tmp_path, capsys):
    sound = voice(1.0, level=5e-5)
    soundfile.write(tmp_path / "in.wav", sound, RATE, subtype="FLOAT")
    for name in ("out.wav", "out.flac"):
        run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/{name}")
        out = soundfile.read(tmp_path / name)[0]
        assert np.abs(out - sound).max() < 1e-3 * np.abs(sound).max() + 2**-23


def test_clipped_samples_are_counted_and_floats_are_not_clipped(tmp_path, capsys):
    sound = voice(1.0, level=1.0)
    soundfile.write(tmp_path / "in.wav", sound, RATE, subtype="FLOAT")
    assert "clipped" not in run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/o.wav")[2]
    assert soundfile.read(tmp_path / "o.wav")[0].max() == pytest.approx(sound.max(), rel=1e-5)
    err = run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/o.flac")[2]
    assert f"{(np.abs(sound) > 1).sum()} of {RATE} samples clipped" in err


def test_an_offset_is_taken_off_and_told(tmp_path, capsys):
    sound = voice(2.0)
    soundfile.write(tmp_path / "in.wav", sound + 0.2, RATE, subtype="FLOAT")
    err = run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/o.wav")[2]
    assert "offset of 0.2 " in err
    np.testing.assert_allclose(soundfile.read(tmp_path / "o.wav")[0], sound, atol=1e-3)


def test_strength_and_limit_leave_some_of_the_noise(tmp_path, capsys):
    sound = voice(1.0)
    soundfile.write(tmp_path / "in.wav", sound, RATE, subtype="FLOAT")
    for options, factor in (
        (["--strength", "0"], 1.0),
        (["--strength", "0.5"], 0.75),
        ([], 0.5),
        (["--attenuation-limit", "20"], 0.55),
        (["--attenuation-limit", "0"], 1.0),
    ):
        asked = ["--model", "half", "--force", *options]
        assert run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/o.wav", *asked)[0] == 0
        out = soundfile.read(tmp_path / "o.wav")[0]
        np.testing.assert_allclose(out, factor * sound, atol=1e-6)
    for wrong in ("-0.1", "1.1", "nan"):
        asked = ["--strength", wrong]
        assert run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/x.wav", *asked)[0] == 1


def test_mono_mixes_only_when_asked(tmp_path, capsys):
    sound = voice(1.0)
    stereo = np.stack([sound, -sound], 1)
    soundfile.write(tmp_path / "in.wav", stereo, RATE, subtype="FLOAT")
    run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/two.wav")
    np.testing.assert_allclose(soundfile.read(tmp_path / "two.wav")[0], stereo, atol=1e-6)
    err = run(capsys, "enhance", f"{tmp_path}/in.wav", f"{tmp_path}/one.wav", "--mono")[2]
    assert "mixed down" in err and err.count("\n") == 1
    out = soundfile.read(tmp_path / "one.wav")[0]
    np.testing.assert_allclose(np.abs(out), np.abs(sound), atol=1e-6)


@pytest.mark.parametrize("name", ["x.mkv", "x.mp4"])
def test_of_a_film_only_the_sound_is_replaced(tmp_path, capsys, name):
    sound = voice(2.0, 48000)
    film(tmp_path / name, [voice(2.0, 48000, seed=1), sound], default=1)
    status, _, err = run(capsys, "enhance", f"{tmp_path}/{name}", f"{tmp_path}/out-{name}")
    assert status == 0 and "track 2 of 2" in err

    def pictures(path):
        with av.open(str(path)) as file:
            return [
                (bytes(packet), float(packet.pts * packet.time_base))
                for packet in file.demux(video=0)
                if packet.size
            ]

    assert pictures(tmp_path / name) == pictures(tmp_path / f"out-{name}")
    from denoise_lib import audio

    out, _ = audio.read(tmp_path / f"out-{name}")
    assert abs(len(out) - 3 * 48000) < 2048
    assert abs(place(sound[:24000], out[:, 0])) < 100


def test_pictures_are_copied_whatever_their_time_stamps(tmp_path, capsys):
    """Two transport streams joined, of which the clock starts anew; and stamps that come twice."""
    sound = voice(2.0, 48000)
    film(tmp_path / "one.ts", [sound], pictures=2.0)
    film(tmp_path / "late.ts", [sound], pictures=2.0, output_ts_offset="3000")
    one, late = ((tmp_path / name).read_bytes() for name in ("one.ts", "late.ts"))
    (tmp_path / "joined.ts").write_bytes(2 * one)
    (tmp_path / "forward.ts").write_bytes(one + late)
    film(tmp_path / "every.mp4", [voice(4.0, 48000)], pictures=4.0, movflags="frag_every_frame")
    for name in ("joined.ts", "forward.ts", "every.mp4"):
        out = tmp_path / "out.mkv"
        status, _, err = run(capsys, "enhance", f"{tmp_path}/{name}", str(out), "--force")
        assert status == 0 and ("its clock jumps by 299" in err) == (name == "forward.ts")
        assert "missing" not in err
        with av.open(str(out)) as file:
            times = [float(p.pts * p.time_base) for p in file.demux(video=0) if p.size]
        assert len(times) == 20 and times == sorted(times) and 3.7 < times[-1] < 4.3
        assert times[10] == pytest.approx(2.0, abs=0.3)


# What must not be lost


def test_neither_input_nor_result_is_overwritten_unasked(noisy, capsys):
    content = noisy.read_bytes()
    link = noisy.with_name("link.wav")
    link.symlink_to(noisy)
    for target in (noisy, link):
        status, _, err = run(capsys, "enhance", str(noisy), str(target), "--force")
        assert status == 1 and "never overwritten" in err and err.count("\n") == 1
    out = noisy.with_name("out.wav")
    out.write_text("mine")
    status, _, err = run(capsys, "enhance", str(noisy), str(out))
    assert status == 1 and "--force" in err and out.read_text() == "mine"
    assert run(capsys, "enhance", str(noisy), str(out), "--force")[0] == 0
    assert noisy.read_bytes() == content and soundfile.info(out).frames == 44100


def test_a_failure_leaves_nothing_behind(tmp_path, capsys, noisy):
    (tmp_path / "text.wav").write_text("this is no sound")
    for source in ("text.wav", "missing.wav"):
        status, _, err = run(capsys, "enhance", f"{tmp_path}/{source}", f"{tmp_path}/out.wav")
        assert status == 1 and source in err and err.count("\n") == 1
    status, _, err = run(capsys, "enhance", str(noisy), f"{tmp_path}/out.xyz")
    assert status == 1 and "out.xyz" in err
    assert sorted(os.listdir(tmp_path)) == ["noisy.wav", "text.wav"]


def test_pipes_and_devices_are_written_to(noisy, capsys):
    pipe = noisy.with_name("pipe")
    os.mkfifo(pipe)
    # A reader of its own takes everything: what is longer than a pipe's buffer would wait for one.
    with open(noisy.with_name("read"), "wb") as read:
        reader = subprocess.Popen(["cat", pipe], stdout=read)
        assert run(capsys, "enhance", str(noisy), str(pipe))[0] == 0
        reader.wait(timeout=60)
    content = noisy.with_name("read").read_bytes()
    file = noisy.with_name("out.wav")
    run(capsys, "enhance", str(noisy), str(file))
    assert content == file.read_bytes() and pipe.is_fifo()
    assert run(capsys, "enhance", str(noisy), "/dev/null")[0] == 0
    assert Path("/dev/null").is_char_device()


def test_names_up_to_the_limit_of_the_file_system(noisy, capsys):
    out = noisy.with_name("n" * 251 + ".wav")
    assert run(capsys, "enhance", str(noisy), str(out))[0] == 0
    assert out.exists() and len(os.listdir(noisy.parent)) == 2


# Many


@pytest.fixture
def tree(tmp_path):
    """Recordings in folders, one that is broken, and a text."""
    for name in ("talks/a.wav", "talks/b/a.wav", "talks/b/c.flac", "more.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, voice(0.5), RATE)
    (tmp_path / "talks/broken.wav").write_text("no sound")
    (tmp_path / "talks/notes.txt").write_text("a text")
    (tmp_path / "talks/._a.wav").write_bytes(b"a Mac was here")
    return tmp_path


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_folders_keep_their_tree_and_failures_come_at_the_end(tree, capsys, jobs):
    arguments = ["enhance", f"{tree}/talks", f"{tree}/more.wav", "--out", f"{tree}/out"]
    status, _, err = run(capsys, *arguments, "--jobs", jobs)
    assert status == 1
    lines = err.splitlines()
    assert "broken.wav: " in lines[-2] and lines[-1].startswith("denoise: 1 of 5 ")
    assert "1 file" in err and "passed over" in err
    made = {path.relative_to(tree / "out").as_posix() for path in (tree / "out").rglob("*.*")}
    assert made == {"a.wav", "b/a.wav", "b/c.flac", "more.wav"}

    times = {name: (tree / "out" / name).stat().st_mtime_ns for name in made}
    soundfile.write(tree / "talks/broken.wav", voice(0.5), RATE)
    status, _, err = run(capsys, *arguments)
    assert status == 0 and "4 of 5 results are there already" in err
    assert {name: (tree / "out" / name).stat().st_mtime_ns for name in made} == times
    assert (tree / "out/broken.wav").exists()
    assert run(capsys, *arguments, "--force")[0] == 0
    assert (tree / "out/a.wav").stat().st_mtime_ns > times["a.wav"]


def test_a_folder_is_never_written_over_itself(tree, capsys):
    before = {path: path.read_bytes() for path in tree.rglob("*.*") if path.is_file()}
    arguments = ["enhance", f"{tree}/talks", "--out", f"{tree}/talks", "--force"]
    status, _, err = run(capsys, *arguments)
    assert status == 1
    assert {path: path.read_bytes() for path in tree.rglob("*.*") if path.is_file()} == before


def test_two_inputs_of_one_name_get_two_results(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for suffix, container in (("wav", "WAV"), ("flac", "FLAC")):
        (folder / f"a.{suffix}").write_bytes(as_bytes(voice(0.5), container=container))
    asked = ["--out", f"{tmp_path}/out", "--format", "wav"]
    assert run(capsys, "enhance", str(folder), *asked)[0] == 0
    assert len(os.listdir(tmp_path / "out")) == 2


def test_without_a_place_to_write_nothing_is_done(noisy, capsys):
    for arguments in ([str(noisy)], [str(noisy)] * 3):
        status, _, err = run(capsys, "enhance", *arguments)
        assert status == 1 and "--out" in err


# The whole way, in a process of its own


def command(*arguments, **options):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "denoise_lib.cli", *map(str, arguments)],
        capture_output=True,
        env=environment,
        **options,
    )


@pytest.mark.slow
def test_a_pipe_gives_what_the_file_gives_and_home_stays_as_it_is(noisy, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    env = {"HOME": str(home), "XDG_CACHE_HOME": "", "PYTHONDONTWRITEBYTECODE": "1"}
    asked = ["--model", "rnnoise"]
    file = command("enhance", noisy, tmp_path / "out.wav", *asked, env=env)
    assert file.returncode == 0, file.stderr
    assert file.stdout == file.stderr == b""  # no bar where nobody watches
    pipe = command("enhance", "-", "-", *asked, env=env, input=noisy.read_bytes())
    assert pipe.returncode == 0, pipe.stderr
    assert pipe.stdout == (tmp_path / "out.wav").read_bytes()
    left = [path for path in home.rglob("*") if path.is_file()]
    assert left == [] and sorted(os.listdir(tmp_path)) == ["home", "noisy.wav", "out.wav"]


@pytest.mark.parametrize("command", [[], ["enhance"]])
def test_the_version_is_told(capsys, command):
    from denoise_lib import __version__

    assert run(capsys, *command, "--version") == (0, f"denoise {__version__}\n", "")


# What a recording says of itself, and its codec


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "m4a", "mka"])
def test_title_and_artist_are_kept(tmp_path, capsys, suffix):
    with soundfile.SoundFile(tmp_path / "in.flac", "w", RATE, 1) as file:
        file.title, file.artist = "Über Nacht", "Jane"
        file.write(voice(0.5))
    first, second = tmp_path / f"out.{suffix}", tmp_path / "back.flac"
    assert run(capsys, "enhance", f"{tmp_path}/in.flac", str(first))[0] == 0
    assert run(capsys, "enhance", str(first), str(second))[0] == 0
    with soundfile.SoundFile(second) as file:
        assert (file.title, file.artist) == ("Über Nacht", "Jane")


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize(
    ("name", "codec"), [("x.ogg", "flac"), ("x.oga", "flac"), ("x.m4a", "alac")]
)
def test_bits_of_codecs_without_loss_are_kept(tmp_path, capsys, name, codec, bits):
    """FLAC in Ogg, which soundfile does not write, and ALAC: every sample comes back."""
    from denoise_lib import audio
    from denoise_lib.recordings.film import FilmWriter

    sound = np.round(voice(1.0, 48000) * 2 ** (bits - 1)).astype(np.float32) / 2 ** (bits - 1)
    with open(tmp_path / name, "wb") as file:
        writer = FilmWriter(file, name[2:], 48000, 1, own=codec, samples=f"PCM_{bits}")
        writer.write(sound[:, None])
        writer.close()
    out = tmp_path / f"out-{name}"
    assert run(capsys, "enhance", str(tmp_path / name), str(out)) == (0, "", "")
    with av.open(str(out)) as file:
        assert file.streams.audio[0].codec_context.name == codec
    for path in (tmp_path / name, out):
        np.testing.assert_allclose(audio.read(path)[0][:, 0], sound, atol=2.0**-24)


@pytest.mark.parametrize(
    ("name", "codec"), [("x.m4a", "alac"), ("x.mkv", "pcm_s24le"), ("x.avi", "pcm_s16le")]
)
def test_sound_without_loss_stays_without_loss(tmp_path, capsys, name, codec):
    film(tmp_path / name, [voice(1.0, 48000)], codec, pictures=0)
    out = tmp_path / f"out-{name}"
    assert run(capsys, "enhance", str(tmp_path / name), str(out))[0] == 0
    with av.open(str(out)) as file:
        assert file.streams.audio[0].codec_context.name == codec


def test_opus_in_ogg_stays_opus(tmp_path, capsys):
    (tmp_path / "x.ogg").write_bytes(as_bytes(voice(1.0, 48000), 48000, "OGG", "OPUS"))
    assert run(capsys, "enhance", f"{tmp_path}/x.ogg", f"{tmp_path}/y.ogg")[0] == 0
    assert soundfile.info(tmp_path / "y.ogg").subtype == "OPUS"


def test_the_sound_of_an_avi_stays_with_its_pictures(tmp_path, capsys):
    from denoise_lib import audio

    sound = voice(2.0, 48000)
    film(tmp_path / "x.avi", [sound], "pcm_s16le", pictures=2.0)
    film(tmp_path / "y.avi", [sound], "libmp3lame", pictures=2.0)
    late = {}
    for name in ("x.avi", "y.avi"):
        out = tmp_path / f"out-{name}"
        assert run(capsys, "enhance", str(tmp_path / name), str(out))[0] == 0
        before, after = (audio.read(path)[0][:, 0] for path in (tmp_path / name, out))
        part = sound[24000:48000]
        late[name] = (place(part, after) - place(part, before)) / 48000
    assert abs(late["x.avi"]) < 0.0001 and abs(late["y.avi"]) < 0.002


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process took")
def test_a_long_recording_takes_no_more_memory(tmp_path):
    """Of 5 minutes of 44.1 kHz in stereo, the samples alone would take 106 MB."""
    code = (
        "import sys\nfrom denoise_lib import cli\nfrom denoise_lib.study.run import peak_memory\n"
        "try:\n    cli.main(sys.argv[1:])\nfinally:\n    print(peak_memory())"
    )
    peaks = []
    for minutes in (1, 5):
        minute = np.stack([voice(60.0, 44100), voice(60.0, 44100, seed=1)], 1)
        samples = np.tile(minute, (minutes, 1))
        soundfile.write(tmp_path / "in.wav", samples, 44100, subtype="PCM_16")
        command = ["enhance", "in.wav", f"{minutes}.wav", "--model", "log_mmse"]
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert soundfile.info(tmp_path / f"{minutes}.wav").frames == len(samples)
        peaks.append(int(done.stdout.splitlines()[-1]))
    assert peaks[1] < peaks[0] + 60
