"""Several processes: what one would do, but for rounding; nothing lost and nothing done twice."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import soundfile
import torch
from small_corpus import small_corpus

from denoise_lib import RATE, Corruption, StreetMix
from denoise_lib.damage import augment
from denoise_lib.damage.augment import OneOf
from denoise_lib.data.crops import CleanCrops, JoinedCrops, damaged_batches, fixed_batch
from denoise_lib.errors import UserError
from denoise_lib.models import ConvAutoencoder, inference, processes
from denoise_lib.models.checkpoints import load_model, read_record
from denoise_lib.training import loop

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parent
ALONE = [str(TESTS / "processes_script.py")]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *ALONE]
FOLDERS = f"{TESTS.parent}:{TESTS}"


def started(*command, **environment):
    """A finished process of python."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": FOLDERS} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Both networks, trained by one process."""
    folder = tmp_path_factory.mktemp("alone")
    done = started(*ALONE, folder, "dcunet,unet", 1, 0)
    assert done.returncode == 0, done.stderr
    return folder


def assert_alike(found: Path, expected: Path):
    """Two trainings came to the same but for rounding.

    Weights are not compared: those that only move what a norm takes away have no gradient but
    rounding, which AdamW brings to full size.
    """
    assert read_record(found)["finished"]
    # Norms over a process's own rows alone move it by 8e-5 and 1e-4, and the output by 1e-3.
    assert read_record(found)["valid"] == pytest.approx(read_record(expected)["valid"], abs=2e-5)
    noisy = 0.05 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = (load_model(path).eval()(noisy) for path in (found, expected))
    assert (one - other).norm() < 8e-4 * other.norm()


def test_two_processes_and_their_batch_norms_train_what_one_would(alone, tmp_path):
    # Variables of SLURM would make Lightning look for tasks that are not there.
    slurm = {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "job", "SLURM_JOB_ID": "1"}
    done = started(*TWO, tmp_path, "dcunet,unet", 1, 0, **slurm)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("read back") == 2  # once for each network
    for name in ("dcunet", "unet"):
        path = tmp_path / f"{name}.safetensors"
        assert_alike(path, alone / path.name)
        assert read_record(path)["plan"]["processes"] == 2
        assert not path.with_suffix(".state.safetensors").exists()


def test_where_a_process_dies_the_other_ends_and_one_goes_on(alone, tmp_path):
    done = started(*TWO, tmp_path, "unet", 1, 5)
    assert done.returncode != 0
    assert "ended: another process of the training of unet.safetensors" in done.stdout
    path = tmp_path / "unet.safetensors"
    assert path.with_suffix(".state.safetensors").exists() and not read_record(path)["finished"]
    again = started(*ALONE, tmp_path, "unet", 1, 0)
    assert again.returncode == 0 and "step 4/6" not in again.stdout, again.stderr
    assert_alike(path, alone / path.name)


def test_the_error_of_a_lost_connection_is_one_line():
    with pytest.raises(UserError, match="another process of x has ended"):
        with processes.ends_with_the_others("x"):
            raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(RuntimeError, match="out of memory"):
        with processes.ends_with_the_others("x"):
            raise RuntimeError("out of memory")


def test_evaluation_loses_no_clip_and_scores_none_twice(tmp_path):
    sound = torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0)).numpy()
    for number in range(5):
        path = tmp_path / "own" / "test" / f"voice{number % 2}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.05 * sound[: RATE + 2000 * number], RATE)
    train = tmp_path / "own" / "train" / "voice0" / "9.wav"
    train.parent.mkdir(parents=True)
    soundfile.write(train, 0.1 * sound, RATE)
    command = ["-m", "denoise_lib.cli", "evaluate", "gain", "--speech", tmp_path / "own"]
    command += ["--metrics", "wsdr", "--table"]
    one = started(*command, tmp_path / "one.csv")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = started(*launch, *command, tmp_path / "two.csv")
    assert one.returncode == two.returncode == 0, two.stderr
    assert one.stdout == two.stdout and "5 clips" in one.stdout
    rows = list(csv.reader((tmp_path / "one.csv").open()))
    assert rows == list(csv.reader((tmp_path / "two.csv").open())) and len(rows) == 6


def test_rows_that_are_read_alone_are_those_of_the_whole_batch():
    corpus = small_corpus()
    mix = StreetMix([torch.randn(9000, generator=torch.Generator().manual_seed(1))])
    for kind in (CleanCrops, JoinedCrops):
        for damage in (Corruption(), mix, OneOf([mix, Corruption()])):
            crops = kind(
                corpus,
                corpus.split("train"),
                batch=4,
                seconds=0.3,
                seed=0,
                steps=2,
                vary=augment.vary_speech,
            )
            whole = list(damaged_batches(crops, damage))
            for rank in range(2):
                rows = slice(rank, None, 2)
                for (noisy, clean), (all_noisy, all_clean) in zip(
                    damaged_batches(crops, damage, rows=rows), whole, strict=True
                ):
                    torch.testing.assert_close(clean, all_clean[rows])
                    torch.testing.assert_close(noisy, all_noisy[rows])


def test_a_batch_in_parts_gives_the_gradient_of_the_whole(tmp_path):
    corpus, found = small_corpus(), []
    for parts in (1, 2):
        torch.manual_seed(0)
        crops = CleanCrops(corpus, corpus.split("train"), batch=4, seconds=0.3, seed=0, steps=3)
        valid = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=1.0)
        schedule = loop.Schedule(3, 1e-3, warmup=1, validate_every=3)
        path = tmp_path / f"{parts}.safetensors"
        network = ConvAutoencoder(4, 64, 16)
        options = {"label": "test", "accumulate": parts}
        found.append(loop.train(network, crops, Corruption(), valid, schedule, path, **options)[0])
        assert read_record(path)["plan"].get("accumulate", 1) == parts
    for one, other in zip(found[0].parameters(), found[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match="in 3 parts: make it a multiple of 3"):
        loop.train(network, crops, Corruption(), valid, schedule, path, accumulate=3)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, False, "cuda")],
)
def test_cuda_goes_before_apple_and_that_before_the_processor(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(inference, "_apple_gpu_works", lambda: mps)
    assert inference.device() == expected
    assert inference.device("cpu") == "cpu"


def test_an_apple_gpu_that_does_not_work_is_left_alone(monkeypatch):
    """This one is said to be there and is not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    inference._apple_gpu_works.cache_clear()
    try:
        assert inference.device() == "cpu"
    finally:
        inference._apple_gpu_works.cache_clear()


@pytest.mark.parametrize("error", [0.0, 1e-2])
def test_an_apple_gpu_that_computes_wrongly_is_left_alone(monkeypatch, error):
    little = inference._little_network
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(
        inference, "_little_network", lambda place: little("cpu") + error * (place == "mps")
    )
    inference._apple_gpu_works.cache_clear()
    try:
        assert inference._apple_gpu_works() == (not error)
    finally:
        inference._apple_gpu_works.cache_clear()


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", "lo"), ("localhost", "lo"), ("::1", "lo"), ("no.host.invalid", None)],
)
def test_gloo_listens_on_the_loopback_where_the_others_are_here(monkeypatch, address, expected):
    monkeypatch.setenv("MASTER_ADDR", address)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "x")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    processes.choose_interface()
    found = os.environ.get("GLOO_SOCKET_IFNAME")
    assert (found or "")[:2] == (expected or "")


def test_gloo_listens_on_the_interface_that_leads_to_the_first_process(monkeypatch):
    """An address of this host is reached over the interface that has it."""
    for name, addresses in psutil.net_if_addrs().items():
        known = [each.address for each in addresses if each.family == socket.AF_INET]
        for own in known[:1]:  # an interface may have more, of which the system names the first
            monkeypatch.setenv("GLOO_SOCKET_IFNAME", "x")
            monkeypatch.delenv("GLOO_SOCKET_IFNAME")
            monkeypatch.setenv("MASTER_ADDR", own)
            processes.choose_interface()
            assert os.environ["GLOO_SOCKET_IFNAME"] == name
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine")
    processes.choose_interface()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "mine"


def test_processes_that_do_not_reach_each_other_end_with_one_line():
    with pytest.raises(UserError, match="do not reach each other: check MASTER_ADDR"):
        with processes.joining():
            raise RuntimeError("Gloo connectFullMesh failed with timed out connecting")
    with pytest.raises(RuntimeError, match="out of memory"):
        with processes.joining():
            raise RuntimeError("out of memory")


@pytest.fixture
def hosts():
    """Commands that run something on each of two hosts, which a cable connects."""
    names = [f"denoise{os.getpid()}{end}" for end in "ab"]
    cable = [f"d{os.getpid()}{end}" for end in "ab"]

    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
        for number, (name, end) in enumerate(zip(names, cable, strict=True), 1):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield [["ip", "netns", "exec", name] for name in names]
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces need root and iproute2: {error}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def test_two_hosts_train_what_one_would(hosts, alone, tmp_path):
    """Whatever the hosts' own names resolve to, which here is the loopback."""
    together = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    together += ["--master-addr=10.77.0.1", "--master-port=29500"]
    running = [
        subprocess.Popen(
            [*host, sys.executable, *together, f"--node-rank={rank}", *ALONE]
            + [str(tmp_path), "unet", "1", "0"],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": FOLDERS},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, host in enumerate(hosts)
    ]
    try:
        told = [each.communicate(timeout=300)[0] for each in running]
    finally:
        for each in running:
            each.kill()
    assert [each.returncode for each in running] == [0, 0], told
    assert_alike(tmp_path / "unet.safetensors", alone / "unet.safetensors")


def test_the_script_for_slurm_starts_one_torchrun_per_node(tmp_path):
    for name, body in (
        ("scontrol", "printf 'n1\\nn2\\n'"),
        ("srun", 'echo "$OMP_NUM_THREADS" "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"NNODES": "2", "JOB_ID": "7", "JOB_NODELIST": "n[1-2]", "CPUS_PER_TASK": "16"}
    slurm = {f"SLURM_{name}": value for name, value in slurm.items()} | {"SLURM_GPUS_ON_NODE": "4"}
    done = subprocess.run(
        ["bash", TESTS.parent / "tools" / "train.slurm", "net.safetensors", "--batch", "32"],
        env=os.environ | slurm | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": "python"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [
        *("4", "python", "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=4"),
        *("--rdzv-backend=c10d", "--rdzv-endpoint=n1:29500", "--rdzv-id=7"),
        *("-m", "denoise_lib.cli", "train", "net.safetensors", "--batch", "32"),
    ], done.stderr
