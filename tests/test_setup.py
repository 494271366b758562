"""The set-up: lists of packages in step, make as it is documented, an import that is quick."""

import ast
import configparser
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import tomllib
from pathlib import Path

import hypothesis
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import denoise_lib
from denoise_lib import environment

ROOT = Path(__file__).resolve().parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, SETUPTOOLS = DECLARED["project"], DECLARED["tool"]["setuptools"]
PYTHONS = ("3.11", "3.12", "3.13")


def declared(*extras):
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][name] for name in extras)]
    return [Requirement(line) for lines in lists for line in lines]


def entries(lock, hashes=r"( --hash=sha256:[0-9a-f]{64})+"):
    """The requirements of a lock file, each of which has hashes."""
    lines = (ROOT / lock).read_text().replace(" \\\n   ", "").splitlines()
    found = [re.fullmatch(f"(.+?){hashes}", line) for line in lines if not line.startswith("#")]
    assert found and all(found), f"{lock}: run tools/lock.py"
    return [Requirement(each[1]) for each in found]


def pins(lock="requirements.lock", **other):
    """{canonical name: version} of a lock, on this platform; another Python is told."""
    locked = {}
    for pin in entries(lock):
        (version,) = pin.specifier
        assert version.operator == "==", f"{pin}: every line of the lock file is name==version"
        if pin.marker is None or pin.marker.evaluate(other):
            assert pin.name not in locked, f"{pin.name} is locked twice"
            locked[pin.name] = version.version
    return {canonicalize_name(name): version for name, version in locked.items()}


def test_lock_holds_every_declared_package_in_its_range():
    locked = pins()
    for requirement in declared(*PROJECT["optional-dependencies"]):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in requirements.lock"
        assert version in requirement.specifier, f"{requirement} is locked at {version}"


def test_lock_is_portable():
    locked = pins()
    assert (locked["torch"], locked["torchaudio"]) == ("2.13.0", "2.11.0")
    assert not any("+" in version for version in locked.values())
    assert "pip" not in locked
    assert "denoise-lib" not in locked


def test_lock_is_complete_and_installed():
    # What an installed package needs is pinned as well: a second installation is the same.
    others = {
        python: {"python_version": python, "python_full_version": f"{python}.0"}
        for python in PYTHONS
    }
    locked = {python: pins(**other) for python, other in others.items()}
    for name, version in pins().items():
        installed = importlib.metadata.distribution(name)
        assert installed.version.split("+")[0] == version, f"{name}: run make"
        runs_on = SpecifierSet(installed.metadata.get("Requires-Python", ""))
        needs = [Requirement(line) for line in installed.requires or []]
        for python in [python for python in PYTHONS if name in locked[python]]:
            # Debian 12 has 3.11.2: a package may well need a later patch of Python.
            assert f"{python}.0" in runs_on, f"{name} needs {runs_on}"
            for need in needs:
                if name == "torch" and "platform_system" in str(need.marker):
                    continue  # NVIDIA's libraries: requirements-cuda.lock
                if need.marker is None or need.marker.evaluate({"extra": "", **others[python]}):
                    wanted = f"{name} needs {need} with Python {python}"
                    assert canonicalize_name(need.name) in locked[python], wanted


def test_conda_installs_the_same():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(item for item in conda["dependencies"] if str(item).startswith("python="))
    assert python.removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])
    assert "pip" in conda["dependencies"]
    pip = next(item["pip"] for item in conda["dependencies"] if isinstance(item, dict))
    assert pip == ["-r requirements.lock", "-r requirements-cuda.lock"]


def test_python_versions_are_said_alike():
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [v for v in ("3.10", *PYTHONS, "3.14") if v in supported] == list(PYTHONS)
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in PYTHONS


def imported(folder):
    """Top-level names of the third-party modules that the Python files in a folder import."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    own = {path.stem for path in (ROOT / folder).glob("*.py")} | {"denoise_lib", "tools"}
    return names - own - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("folder", "extras"),
    [("denoise_lib", ("live", "export", "sweep", "lhotse")), ("tests", ("test", "lhotse"))],
)
def test_every_import_is_declared(folder, extras):
    distributions = importlib.metadata.packages_distributions()
    allowed = {canonicalize_name(requirement.name) for requirement in declared(*extras)}
    for module in imported(folder):
        homes = {canonicalize_name(name) for name in distributions.get(module, [])}
        assert homes & allowed, f"{folder} imports {module}, which pyproject.toml does not declare"


def test_import_is_quick_and_names_resolve():
    code = "import denoise_lib, denoise_lib.cli, sys; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    for name in denoise_lib.__all__:
        assert getattr(denoise_lib, name) is not None
    with pytest.raises(AttributeError, match="attribute nothing"):
        denoise_lib.nothing  # noqa: B018
    assert denoise_lib.__version__ == PROJECT["version"]


@pytest.mark.parametrize(("cuda", "left"), [(None, ["libctc.py"]), ("13.0", None)])
def test_torchaudio_keeps_its_extension_only_with_cuda(tmp_path, cuda, left):
    names = ["_torchaudio.abi3.so", "libctc.py", "libtorchaudio.so"]
    (tmp_path / "lib").mkdir()
    for name in names:
        (tmp_path / "lib" / name).touch()
    removed = environment.remove_cuda_extension(tmp_path, cuda)
    assert sorted(os.listdir(tmp_path / "lib")) == (left or names)
    assert len(removed) == (0 if left is None else 2)
    assert environment.remove_cuda_extension(tmp_path, cuda) == []


def console_script():
    """Text of the script `denoise` beside this Python."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("denoise", path=scripts)
    assert found, f"no denoise in {scripts}: run make"
    return Path(found).read_bytes().decode(errors="replace")  # on Windows with a binary in front


def called(script):
    """What a console script imports, "module:function"."""
    (found,) = re.findall(r"^from (\S+) import (\w+)", script, re.MULTILINE)
    return ":".join(found)


def test_the_command_is_ours():
    """pyrnnoise installs a script of the same name; whoever comes last has it."""
    assert called(console_script()) == PROJECT["scripts"]["denoise"], "run make again"


def test_another_packages_command_would_be_noticed():
    theirs = importlib.metadata.distribution("pyrnnoise").entry_points["denoise"]
    script = f"import sys\nfrom {theirs.module} import {theirs.attr}\nsys.exit({theirs.attr}())\n"
    assert called(script) == theirs.value != PROJECT["scripts"]["denoise"]


def test_the_package_holds_every_file_that_it_reads():
    """Style sheets, scripts, checkpoints and what is said of them: all named as package data."""
    package = ROOT / "denoise_lib"
    patterns = SETUPTOOLS["package-data"]["denoise_lib"]
    held = {path for pattern in patterns for path in package.glob(pattern)}
    kept = subprocess.run(
        ["git", "ls-files", "denoise_lib"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    others = {ROOT / name for name in kept if not name.endswith(".py")}
    assert others and others <= held


# --- make --------------------------------------------------------------------------------------

TARGETS = [
    "report",
    "test",
    "lab",
    "fetch",
    "bench",
    "fuzz",
    "verify",
    "mutants",
    "clean",
    "publish",
    "notebook",
    "help",
]


def as_called(variables):
    """The environment of a call of make by hand: without the variables of a make around it."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))} | variables


def make(*arguments, cwd=ROOT, **variables):
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=as_called(variables), capture_output=True, text=True
    )


def test_help_lists_every_target():
    shown = make("help").stdout
    for target in TARGETS:
        assert re.search(rf"^  {target} +\w", shown, re.MULTILINE), target
    assert make().stdout == shown
    assert "PROFILE=smoke|quick|full" in shown


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_jupyter_is_allowed_to_run_as_root_where_root_asks(tmp_path, user, allowed):
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {user}\n")
    (tmp_path / "id").chmod(0o755)
    shown = make("-n", "lab", PATH=f"{tmp_path}:{os.environ['PATH']}").stdout
    assert "jupyter lab" in shown and ("--allow-root" in shown) == allowed


def test_time_decides_no_property_and_examples_stay_the_same():
    assert hypothesis.settings.default.deadline is None
    assert hypothesis.settings.default.derandomize


@pytest.fixture
def checkout(tmp_path):
    """A bare checkout with a stand-in for Python, whose installations go as the file `pip` says."""
    pins = [f"requirements{each}.lock" for each in ("", "-cpu", "-cuda", "-build")]
    for name in ("Makefile", *pins, "pyproject.toml", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    log, pip = tmp_path / "log", tmp_path / "pip"
    pip.write_text("exit 0\n")
    (tmp_path / "lacking").touch()
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\nenv | grep -E "^(PIP|PYTHON)" >> {log}.env\n'
        'case "$*" in\n'
        "*sysconfig*) echo /usr/include ;;\n"
        f'"-m venv "*) mkdir -p .venv/bin && cp {fake} .venv/bin/python ;;\n'
        f'*"pip "*" install"*) . {pip} ;;\n'
        f'*"pip "*" check"*) cat {tmp_path}/lacking ;;\n'
        "esac\n"
    )
    fake.chmod(0o755)
    # The compiler is not what is tested here.
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nexit 0\n")
    compiler.chmod(0o755)
    return tmp_path


def ready(checkout):
    variables = {"PYTHON": str(checkout / "python"), "CC": str(checkout / "cc")}
    return make(".venv/.ready", cwd=checkout, **variables)


def test_a_torch_for_cuda_gets_what_it_needs_by_hash_too(checkout):
    needed = "torch 2.13.0 requires nvidia-nccl-cu13, which is not installed.\n"
    (checkout / "lacking").write_text(needed)
    assert ready(checkout).returncode == 0
    log = (checkout / "log").read_text()
    assert "install -qq --no-deps --require-hashes -r requirements-cuda.lock" in log
    brought = entries("requirements-cuda.lock")
    assert "nvidia-nccl-cu13" in {each.name for each in brought}
    for system in ("linux", "darwin"):
        machine = {"sys_platform": system, "platform_machine": "x86_64"}
        assert {each.marker.evaluate(machine) for each in brought} == {system == "linux"}


def test_a_cpu_build_of_the_same_torch_is_taken_where_there_is_one(checkout):
    (cpu,) = entries("requirements-cpu.lock")
    assert str(cpu) == f"torch=={pins()['torch']}+cpu"
    fails = 'case "$*" in *-cpu.lock) echo "ERROR: {}" >&2; exit 1 ;; esac\n'
    (checkout / "pip").write_text(fails.format("THESE PACKAGES DO NOT MATCH THE HASHES"))
    done = ready(checkout)
    assert done.returncode and "DO NOT MATCH THE HASHES" in done.stderr
    (checkout / "log").unlink()
    (checkout / "pip").write_text(fails.format("No matching distribution found for torch"))
    assert ready(checkout).returncode == 0
    tried = [each for each in (checkout / "log").read_text().splitlines() if "-r " in each]
    assert [Path(each.rpartition(" ")[2]).name for each in tried] == [
        "requirements-cpu.lock",
        "requirements-build.lock",
        "pesq.lock",
        "requirements.lock",
    ]


@pytest.mark.slow
def test_nothing_is_left_to_compile_when_the_library_calls_librosa(tmp_path):
    """Two processes that compile at once left files that do not fit together: a crash for good."""
    use = """
import torch
from denoise_lib import Corruption
from denoise_lib.models.checkpoints import denoiser
from denoise_lib.study.constant_q import resynthesis
from denoise_lib.study.masks import harmonic_numbers
voice = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
harmonic_numbers(voice, Corruption())
resynthesis(voice, per_octave=12, iterations=None)
resynthesis(voice, per_octave=12, iterations=1)
denoiser("spectral_gating")(voice[None])
"""
    own = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    found = []
    for code in ("from denoise_lib import environment; environment.compile_librosa()", use):
        subprocess.run([sys.executable, "-c", code], check=True, env=own, cwd=tmp_path)
        found.append({str(path): path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")})
    assert found[0] and found[1] == found[0]


def test_environment_is_made_once(checkout):
    assert ready(checkout).returncode == 0
    log = (checkout / "log").read_text()
    assert "install -qq --no-deps --require-hashes -r requirements.lock" in log
    assert "requirements-cuda.lock" not in log
    assert "-m denoise_lib.environment" in log
    assert ready(checkout).returncode == 0
    assert (checkout / "log").read_text() == log


def test_a_moved_clone_makes_its_environment_anew(checkout):
    """The scripts in it begin with the path that it had."""
    assert ready(checkout).returncode == 0
    moved = shutil.copytree(
        checkout, checkout.with_name(f"{checkout.name} moved, with spaces"), symlinks=True
    )
    log = checkout / "log"  # the stand-ins write here, wherever they lie
    for first in (True, False):
        log.write_text("")
        variables = {"PYTHON": str(checkout / "python"), "CC": str(checkout / "cc")}
        made = make(".venv/.ready", cwd=moved, **variables)
        assert made.returncode == 0, made.stderr
        assert ("-m venv --clear" in log.read_text()) == first
    log.write_text("")
    assert ready(checkout).returncode == 0 and not log.read_text()


def test_a_failed_installation_leaves_no_stamp(checkout):
    (checkout / "pip").write_text("exit 1\n")
    assert ready(checkout).returncode != 0
    assert not (checkout / ".venv" / ".ready").exists()
    (checkout / "pip").write_text("exit 0\n")
    assert ready(checkout).returncode == 0
    assert (checkout / ".venv" / ".ready").exists()


def test_of_two_first_calls_the_second_waits_and_finds_it_made(checkout):
    """The first installs until a file appears, which is not before the second has said so."""
    started, go = checkout / "started", checkout / "go"
    (checkout / "pip").write_text(
        f"touch {started}\nfor i in $(seq 600); do [ -e {go} ] && exit 0; sleep 0.1; done; exit 1\n"
    )
    variables = {"PYTHON": str(checkout / "python"), "CC": str(checkout / "cc")}
    arguments = {"cwd": checkout, "env": as_called(variables), "stderr": subprocess.PIPE}
    first = subprocess.Popen(["make", ".venv/.ready"], **arguments)
    while not started.exists():
        assert first.poll() is None
        time.sleep(0.05)
    second = subprocess.Popen(["make", ".venv/.ready"], **arguments, text=True)
    said = second.stderr.readline()
    assert said == "make: waiting for another make, which is setting up .venv\n"
    go.touch()
    assert first.wait(60) == second.wait(60) == 0
    first.stderr.close()
    second.stderr.close()
    log = (checkout / "log").read_text()
    assert log.count("--require-hashes -r requirements.lock") == 1
    assert log.count("-m venv --clear") == 1


def test_the_users_settings_do_not_reach_the_set_up(checkout):
    """Nor the report: make hands none of them on."""
    theirs = {"PYTHONPATH": "/theirs", "PYTHONSTARTUP": "/theirs.py", "PIP_USER": "1"}
    theirs |= {"PIP_TARGET": "/theirs", "PIP_NO_DEPS": "1", "PIP_INDEX_URL": "https://mirror.test"}
    theirs |= {"PIP_CONSTRAINT": "/theirs.txt", "PIP_BUILD_CONSTRAINT": "/theirs.txt"}
    variables = {"PYTHON": str(checkout / "python"), "CC": str(checkout / "cc")}
    made = make(".venv/.ready", cwd=checkout, **variables, **theirs)
    assert made.returncode == 0, made.stderr
    told = (checkout / "log.env").read_text()
    assert "/theirs" not in told and "PIP_USER" not in told and "PIP_NO_DEPS" not in told
    assert "PIP_INDEX_URL=https://mirror.test" in told  # where packages come from is theirs to say
    assert "PIP_CONFIG_FILE=.venv/pip.settings" in told


def test_of_the_users_pip_settings_only_the_sources_are_kept(tmp_path):
    """Read by pip itself, from a file of the user's that holds many."""
    theirs = tmp_path / "pip.conf"
    theirs.write_text(
        "[global]\nuser = true\ntarget = /elsewhere\nindex-url = https://mirror.test/simple\n"
        "extra-index-url = https://one.test\n    https://two.test\n[install]\nno-deps = yes\n"
    )
    clean = {name: each for name, each in os.environ.items() if not name.startswith("PIP_")}
    kept = subprocess.run(
        [sys.executable, ROOT / "tools" / "pip_settings.py"],
        env=clean | {"PIP_CONFIG_FILE": str(theirs)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = configparser.ConfigParser()
    found.read_string(kept)
    assert found["global"]["index-url"] == "https://mirror.test/simple"
    assert found["global"]["extra-index-url"].split() == ["https://one.test", "https://two.test"]
    assert not {"user", "target", "no-deps"} & set(found["global"])


def test_what_builds_pesq_is_in_a_lock_with_hashes():
    """pesq names cython, numpy and pytest-runner without versions, and setuptools with a lowest."""
    brought = entries("requirements-build.lock")
    assert {each.name for each in brought} >= {"cython", "numpy", "pytest-runner", "setuptools"}
    locked, built = pins(), pins("requirements-build.lock")
    assert all(locked.get(name, version) == version for name, version in built.items())


def test_pesq_is_built_with_these_alone(checkout):
    """In isolation pip would take them without a look at their hashes."""
    assert ready(checkout).returncode == 0
    log = (checkout / "log").read_text().splitlines()
    (tools,) = (place for place, line in enumerate(log) if "requirements-build.lock" in line)
    (pesq,) = (place for place, line in enumerate(log) if line.endswith("pesq.lock"))
    assert "--require-hashes -t" in log[tools]
    assert "--require-hashes --no-build-isolation" in log[pesq]
    (lock,) = (place for place, line in enumerate(log) if line.endswith("-r requirements.lock"))
    assert tools < pesq < lock
    (folder,) = re.findall(r"^PYTHONPATH=(.*)", (checkout / "log.env").read_text(), re.MULTILINE)
    # pip runs the build in another folder, where a relative path would mean nothing.
    assert Path(folder).is_absolute() and f" -t {folder} " in log[tools]
    assert not Path(folder).parent.exists()


@pytest.mark.parametrize("ended", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_set_up_leaves_no_temporary_files(checkout, ended):
    temporary, reached = checkout / "temporary", checkout / "reached"
    temporary.mkdir()
    slow = f'case "$*" in *requirements-build.lock*) touch {reached}; exec sleep 60 ;; esac\n'
    (checkout / "pip").write_text(slow)
    settings = {"CC": str(checkout / "cc"), "TMPDIR": str(temporary)}
    begun = subprocess.Popen(
        [checkout / "tools" / "setup.sh", checkout / "python", ".venv", str(checkout)],
        cwd=checkout,
        env=os.environ | settings,
        start_new_session=True,
        # A shell ignores SIGINT for what it runs in the background, the tests, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not reached.exists():
        assert begun.poll() is None
        time.sleep(0.05)
    assert list(temporary.iterdir())
    os.killpg(begun.pid, ended)
    assert begun.wait(30) == 128 + ended
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("version", ["3.10.4", "3.14.0", "2.7.18"])
def test_another_python_is_one_line(tmp_path, version):
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *python_version*) echo {version} ;; *) exit 1 ;; esac\n'
    )
    fake.chmod(0o755)
    result = subprocess.run(
        [ROOT / "tools" / "need.sh", "python", fake], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr == (
        f"make: Python 3.11 to 3.13 is needed and {fake} is {version}; name another with PYTHON=\n"
    )


def test_a_missing_python_is_one_line():
    result = subprocess.run(
        [ROOT / "tools" / "need.sh", "python", "no-python"], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert re.fullmatch("make: no-python is not there: .*PYTHON=\n", result.stderr)


@pytest.mark.parametrize(
    ("need", "message"),
    [
        ("venv", "ensurepip"),
        ("compiler", "C compiler"),
        ("npm", "Node.js"),
        ("chromium", "CHROMIUM="),
    ],
)
def test_what_cannot_be_installed_is_one_line(tmp_path, need, message):
    """As an ordinary user: nothing is installed, one line says what to do."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    (tmp_path / "sh").symlink_to("/bin/sh")
    result = subprocess.run(
        ["/bin/sh", ROOT / "tools" / "need.sh", need, tmp_path / "python"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert re.fullmatch(f"make: .*{re.escape(message)}.*\n", result.stderr)


def test_what_npm_fetches_is_pinned_and_names_no_host():
    wanted = json.loads((ROOT / "tests" / "package.json").read_text())["devDependencies"]
    text = (ROOT / "tests" / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert {f"node_modules/{name}": version for name, version in wanted.items()} == {
        name: package["version"] for name, package in packages.items() if name
    }
    assert all(package["integrity"] for name, package in packages.items() if name)
    assert "://" not in text and "resolved" not in text


def test_notebook_without_a_name_is_one_line(checkout):
    assert ready(checkout).returncode == 0
    result = make("notebook", cwd=checkout)
    assert result.returncode != 0
    assert result.stderr.startswith("make: name the notebook, for example: make notebook NB=")


def test_what_the_report_makes_is_ignored_by_git():
    made = ["report/index.html", "report/results.json", "report/build/quick/x/run.json", ".venv/x"]
    made += ["report/report.pdf", "tests/node_modules/axe-core/axe.min.js"]
    made += ["notebooks/x.failed.ipynb", "denoise_lib/__pycache__/x.pyc"]
    sources = ["report/template/index.html.j2", "docs/index.html", "audio/clean.flac", "Makefile"]
    result = subprocess.run(
        ["git", "check-ignore", "--no-index", *made, *sources],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.stdout.split() == made
