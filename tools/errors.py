"""Write docs/ERRORS.md: every message of a UserError, and of a refused argument, from the code.

python tools/errors.py           # write it
python tools/errors.py --check   # status 1 where it is not up to date
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "ERRORS.md"
KINDS = ("UserError", "ValueError", "TypeError")
TITLES = {
    "commands": "Options of `denoise enhance`, `train`, `evaluate`, `live`, `export`, `models`",
    "cli": "All commands",
    "hall": "Files and sounds",
    "recordings": "Recordings: read, written, denoised",
    "data": "Corpora: fetched, opened",
    "damage": "Damage",
    "models": "Networks and checkpoints",
    "metrics": "Measures",
    "training": "Training",
    "study": "Notebooks of the study",
    "sweep": "Sweeps over parameters",
    "display": "Figures and players",
    "report": "`make report`, `make notebook`, `make publish`",
    "listening_room": "The listening room",
}
HEAD = """# Errors

Written by `python tools/errors.py` from the code; a test keeps the two in step. Words in angle
brackets are names from the code, in place of which the program prints their values. The command
line prints a message as one line, `denoise: ...`, and ends with status 1; wrong usage, such as an
unknown option, ends with status 2, Ctrl-C with `denoise: interrupted` and status 130, SIGTERM with
`denoise: ended by SIGTERM` and status 143, SIGHUP likewise with 129. Errors of the operating system
(a full disk, a folder that cannot be written) are reported with the file and the system's own
message. Nothing is left half-written in any of these cases. Run again, `train`, `report`,
`sweep`, `fetch` and `enhance` of a folder resume where they stopped; the others start over.

A message says what is wrong, with which file or value, and what is expected or to be done.
"""


def text(node: ast.AST) -> str | None:
    """The words of a string in the code, with <names> for what is filled in; None if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"<{filled(node.value)}>"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (text(node.left) or "<...>") + (text(node.right) or "<...>")
    return None


def filled(node: ast.AST) -> str:
    """A short name for what is filled in."""
    if isinstance(node, ast.Name):
        return node.id.strip("_").replace("_", " ")
    if isinstance(node, ast.Attribute):
        whole = node.attr in ("name", "shape", "path", "batch", "version", "stem", "suffix")
        before = f"{filled(node.value)} " if whole and filled(node.value) != "self" else ""
        return before + node.attr.strip("_").replace("_", " ")
    if isinstance(node, ast.Call):
        method = isinstance(node.func, ast.Attribute)
        own = method and not (node.args and node.func.attr in ("join", "basename", "relpath"))
        if isinstance(node.func, ast.Name) and node.func.id == "len":
            return f"number of {filled(node.args[0])}"
        plain = isinstance(node.func, ast.Attribute) or node.func.id in ("str", "list", "sorted")
        return filled(
            node.func.value if own else node.args[0] if plain and node.args else node.func
        )
    if isinstance(node, ast.IfExp):
        return filled(node.orelse if isinstance(node.body, ast.Constant) else node.body)
    for part in ("value", "left", "operand", "func"):
        if isinstance(inner := getattr(node, part, None), ast.AST):
            return filled(inner)
    if isinstance(node, ast.GeneratorExp | ast.ListComp):
        return filled(node.generators[0].iter)
    return "..."


def raised(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, kind, message) of each error that a module makes with words of its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
        if called and node.func.id in KINDS and (words := text(node.args[0])):
            yield node.lineno, node.func.id, " ".join(words.split())


def rooms() -> dict[str, list[Path]]:
    """Modules of the library by room, in the order of TITLES."""
    found = {room: [] for room in TITLES}
    for path in sorted((ROOT / "denoise_lib").rglob("*.py")):
        parts = path.relative_to(ROOT / "denoise_lib").parts
        room = parts[0] if len(parts) > 1 else "cli" if path.stem == "cli" else "hall"
        found[room].append(path)
    return found


def document() -> str:
    """The whole text of docs/ERRORS.md."""
    parts = [HEAD]
    for room, paths in rooms().items():
        lines = []
        for path in paths:
            own = dict.fromkeys(message for _, _, message in sorted(raised(path)))
            lines += [f"| `{path.stem}` | {_escaped(message)} |" for message in own]
        if lines:
            table = ["| module | message |", "|---|---|", *lines]
            parts.append("\n".join([f"## {TITLES[room]}", "", *table]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _escaped(message: str) -> str:
    """A message as Markdown shows it, in a table."""
    for special in ("\\", "|", "<", ">", "*", "_"):
        message = message.replace(special, f"\\{special}")
    return message


def main() -> None:
    """Write the file, or say that it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args().check:
        if TARGET.read_text(encoding="utf-8") != document():
            sys.exit("docs/ERRORS.md is out of date: run `python tools/errors.py`")
        return
    TARGET.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
