"""The parameters of a notebook: read from its tagged cell, set by a profile, overridden by hand."""

from __future__ import annotations

import ast
import io
import math
import threading
import tokenize
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

from denoise_lib.errors import UserError

GIVEN = ("profile", "out")  # set by the runner for every notebook, by nobody else
PLACES = ("speech", "noise", "pairs")  # folders or files, or the names of corpora

_PARSING = threading.Lock()


@dataclass(frozen=True)
class Parameter:
    """A name of the parameters cell: its default, and the comment on its line."""

    name: str
    default: Any
    help: str


def cell_parameters(notebook: nbformat.NotebookNode, name: str) -> dict[str, Parameter]:
    """Read the one cell tagged ``parameters``.

    The cell is never run: every line is ``name = literal  # meaning, unit``.

    Args:
        notebook: Its content.
        name: Its name, for messages.

    Returns:
        The parameters by their names, in the order of the cell.

    Raises:
        UserError: No such cell or several (papermill would then let the notebook's own values win
            without a word), or a line that is not an assignment of a literal.
    """
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UserError(f"{name}: {len(cells)} cells are tagged `parameters`; tag exactly one")
    source = cells[0].source
    try:
        statements = syntax_tree(source).body
    except SyntaxError as error:
        raise UserError(f"{name}: the parameters cell is not Python: {error}") from None
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for statement in statements:
        try:
            (target,) = statement.targets
            value = ast.literal_eval(statement.value)
            found[target.id] = Parameter(target.id, value, comments.get(statement.end_lineno, ""))
        except (AttributeError, ValueError):
            raise UserError(
                f"{name}: line {statement.lineno} of the parameters cell is not `name = literal`"
            ) from None
    return found


def profile_values(
    folder: str | Path, profile: str, known: Mapping[str, Mapping[str, Parameter]]
) -> dict[str, dict[str, Any]]:
    """Values that a profile sets, {notebook: {parameter: value}}.

    Args:
        folder: The notebooks' folder; profiles are ``profiles/<profile>.toml`` in it.
        profile: Its name.
        known: The parameters of every notebook, {notebook: {name: Parameter}}.

    Raises:
        UserError: No such profile, unreadable, or it names an unknown notebook or parameter or sets
            a value of the wrong type.
    """
    path = Path(folder) / "profiles" / f"{profile}.toml"
    existing = sorted(file.stem for file in path.parent.glob("*.toml"))
    if profile not in existing:
        raise UserError(f"there is no profile {profile!r}; choose one of {', '.join(existing)}")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"profile {path.name} is not valid TOML: {error}") from None
    checked = {}
    for notebook, table in tables.items():
        if notebook not in known or not isinstance(table, dict):
            raise UserError(
                f"profile {path.name} names an unknown notebook {notebook!r}; "
                f"there are {', '.join(known)}"
            )
        where = f"profile {path.name}, {notebook}"
        checked[notebook] = {
            key: _fit(value, _known(known[notebook], key, where), where)
            for key, value in table.items()
        }
    return checked


def file_values(path: str | Path) -> dict[str, Any]:
    """Read a papermill parameter file: YAML, ``name: value`` on each line.

    Raises:
        UserError: There is none, or it is something else.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError):  # a date that there is not, bytes that are no text
        raise UserError(f"{path} is not a parameter file: it is not YAML") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path} is not a parameter file: its lines are not `name: value`")
    return values


def given_values(
    texts: Mapping[str, Any], known: Mapping[str, Parameter], name: str
) -> dict[str, Any]:
    """Parse ``-p name value`` as papermill does, as YAML, and check it against its default's type.

    A folder that is given relative to this process's becomes absolute: the notebook works in
    another one.

    Args:
        texts: {parameter: text}; from a file, values may have their type already.
        known: The parameters of the notebook by their names.
        name: The notebook's name, for messages.

    Raises:
        UserError: Unknown parameter, or text of the wrong type.
    """
    values = {}
    for key, text in texts.items():
        if key in GIVEN:
            raise UserError(
                f"{name}: {key!r} is set by the runner (choose a profile with --profile)"
            )
        parameter = _known(known, key, name)
        if not isinstance(text, str):
            values[key] = _fit(text, parameter, name)
            continue
        if isinstance(parameter.default, str):
            if key in PLACES and text not in ("", "default", "wide"):
                text = str(Path(text).expanduser().absolute())
            values[key] = text  # as typed: YAML would make a number of "16" and False of "no"
            continue
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):  # of YAML itself, such as a date that there is not
            value = text
        values[key] = _fit(value, parameter, name)
    return values


def _known(known: Mapping[str, Parameter], key: str, where: str) -> Parameter:
    if key not in known:
        names = ", ".join(name for name in known if name not in GIVEN)
        raise UserError(f"{where}: unknown parameter {key!r}; there are {names}")
    return known[key]


def _fit(value: Any, parameter: Parameter, where: str) -> Any:
    """Return ``value`` as the type of the parameter's default, if it can be that."""
    kind = type(parameter.default)
    number = value
    if isinstance(value, str) and kind in (int, float):
        with suppress(ValueError):
            number = float(value)  # YAML 1.1 takes 1e-3, without a dot, for text
    if not _finite(number):
        raise UserError(f"{where}: {parameter.name} = {value!r}: a number must be finite")
    if kind is type(None) or type(value) is kind:
        return value
    if kind is float and type(number) in (int, float):
        return float(number)
    if kind is int and type(number) is float and number.is_integer():
        return int(number)
    raise UserError(
        f"{where}: {parameter.name} = {value!r} does not fit; its default is "
        f"{parameter.default!r} ({kind.__name__})"
    )


def _finite(value: Any) -> bool:
    """Whether no number in a value is infinite or none at all."""
    if isinstance(value, (list, tuple)):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def read_notebook(folder: str | Path, name: str) -> nbformat.NotebookNode:
    """Read ``<name>.ipynb`` in a folder.

    Raises:
        UserError: There is none, or it is no notebook.
    """
    path = Path(folder) / f"{name}.ipynb"
    if not path.exists():
        raise UserError(f"there is no notebook {name!r}; there are {', '.join(names(folder))}")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises several unrelated kinds
        raise UserError(f"{path.name} is not a notebook: {error}") from None


def names(folder: str | Path) -> list[str]:
    """Names of the numbered notebooks, which make up the report, in order.

    Raises:
        UserError: There are none.
    """
    found = sorted(path.stem for path in Path(folder).glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(f"no numbered notebooks in {folder}; run this from a clone of the project")
    return found


def syntax_tree(source: str) -> ast.Module:
    """``ast.parse``, one at a time: Python 3.11 counts the depth of all trees together.

    Notebooks that run at once are looked after by threads. Where two of them parse, the count may
    end in a SystemError (https://github.com/python/cpython/issues/106905).
    """
    with _PARSING:
        return ast.parse(source)


def declared(notebook: nbformat.NotebookNode, key: str, default: object) -> object:
    """What a notebook declares about itself in its metadata, under "denoise".

    needs: Names of notebooks whose runs it reads.
    plays: Conditions that it plays damaged, on clips drawn by its seed.
    played_clips: How many of those clips.
    publishes: {name of a shipped network: checkpoint in its run}, for `make publish`.
    headline: {experiment: lines of the page's head table in which it stands}, of "fixed", "before"
        and "retrained".
    """
    return notebook.metadata.get("denoise", {}).get(key, default)
