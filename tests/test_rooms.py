"""A room imports only rooms below it: the plan of docs/HOUSE.md, held against the syntax trees."""

import ast
import re
import shutil
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import denoise_lib

LIBRARY = Path(denoise_lib.__file__).parent
HOUSE = Path(__file__).resolve().parents[1] / "docs" / "HOUSE.md"
HALL = {
    "",
    "audio",
    "environment",
    "errors",
    "files",
    "names",
    "paths",
    "progress",
    "recordings",
}  # everybody may use it
ROOMS = {  # what each may import beside itself and the hall; a room stands above all that it names
    "data": set(),
    "display": set(),
    "damage": {"data"},
    "models": {"damage", "data"},
    "metrics": {"models", "damage", "data"},
    "training": {"metrics.wsdr", "models", "damage", "data"},
    "study": {"training", "metrics", "models", "damage", "data", "display"},
    "report": {"data", "display"},
    "listening_room": {"metrics", "models", "damage", "data", "display", "report.parameters"},
    "commands": {"training", "metrics", "models", "damage", "data"},
    "sweep": {"report", "study", "metrics", "display"},
    "cli": {"commands", "sweep", "report", "data"},
    "checkpoints": {"models"},  # the other name of models.checkpoints
}


def imports(path: Path) -> set[str]:
    """Modules of the library that a file names in its imports, without "denoise_lib."."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import in line {node.lineno}"
            modules = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
        else:
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        found |= {each.partition(".")[2] for each in modules if each.split(".")[0] == "denoise_lib"}
    files = {
        each for each in found if (LIBRARY / each.replace(".", "/")).with_suffix(".py").exists()
    }
    return files | {
        each for each in found if (LIBRARY / each.replace(".", "/") / "__init__.py").exists()
    }


def outside(library: Path, rooms: dict[str, set[str]] = ROOMS) -> list[str]:
    """Imports that break the rule, "file -> module"."""
    broken = []
    for path in sorted(library.rglob("*.py")):
        room = path.relative_to(library).with_suffix("").parts[0].replace("__init__", "")
        allowed = {room} | HALL | (rooms[room] if room not in HALL else set())
        for module in imports(path):
            if not any(module == each or module.startswith(f"{each}.") for each in allowed if each):
                broken += [f"{path.relative_to(library)} -> {module}"] if module else []
    return broken


def test_a_room_imports_only_rooms_below_it():
    assert outside(LIBRARY) == []


def test_the_house_says_what_each_room_may_import():
    lines = re.findall(r"^\| (`.*) \| (.*) \|$", HOUSE.read_text(encoding="utf-8"), re.MULTILINE)
    said = {
        room: set(re.findall(r"`([\w.]+)`", below))
        for rooms, below in lines
        for room in re.findall(r"`(\w+)`", rooms)
    }
    assert said == {room: below for room, below in ROOMS.items() if room != "checkpoints"}


def test_the_rooms_have_an_order_and_no_module_imports_in_a_circle():
    above = {room: {each.partition(".")[0] for each in below} for room, below in ROOMS.items()}
    above["listening_room"].discard("report")  # report.parameters alone, which imports no room
    TopologicalSorter(above).prepare()
    files = {
        ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__"): path
        for path in LIBRARY.rglob("*.py")
    }
    TopologicalSorter({name: imports(path) - {name} for name, path in files.items()}).prepare()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("data/corpora.py", "from denoise_lib.damage.corruption import Corruption"),
        ("report/page.py", "from denoise_lib.models import DCUnet"),
        ("study/run.py", "import denoise_lib.report.page"),
        ("names.py", "from denoise_lib import audio, data"),
        ("listening_room/room.py", "from denoise_lib.report import page"),
        ("training/loop.py", "from denoise_lib.metrics.evaluate import evaluate"),
    ],
)
def test_a_broken_rule_is_found(tmp_path, file, line):
    shutil.copytree(LIBRARY, tmp_path / "denoise_lib", ignore=shutil.ignore_patterns("pretrained"))
    path = tmp_path / "denoise_lib" / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n\ndef f():\n    {line}\n")
    broken = outside(tmp_path / "denoise_lib")
    assert broken and all(each.startswith(f"{file} -> ") for each in broken)


def test_few_modules_lie_in_no_room():
    assert len([path for path in LIBRARY.glob("*.py") if path.stem != "__init__"]) <= 9
