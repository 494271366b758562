"""The list of errors: made from the code, in step with it, and each message of a certain form."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("list_of_errors", ROOT / "tools" / "errors.py")
errors = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(errors)
MESSAGES = [
    (path.relative_to(ROOT).as_posix(), *each)
    for paths in errors.rooms().values()
    for path in paths
    for each in errors.raised(path)
]


def test_the_list_is_up_to_date():
    """`python tools/errors.py` writes it."""
    done = subprocess.run([sys.executable, "-I", ROOT / "tools" / "errors.py", "--check"])
    assert done.returncode == 0


def test_every_error_is_told_in_words_of_its_own():
    """A UserError is made from words that stand in the code, or from another error's."""
    source = "".join(
        path.read_text(encoding="utf-8") for paths in errors.rooms().values() for path in paths
    )
    made = len(re.findall(r"\braise UserError\(", source))
    own = sum(kind == "UserError" for _, _, kind, _ in MESSAGES)
    assert own > 100 and own > 0.95 * made


def test_a_message_is_one_plain_sentence():
    """It fits a line, ends without a full stop, and begins with what it is about."""
    odd = []
    for file, line, _, message in MESSAGES:
        words = re.sub("<[^>]*>", "<>", message)
        if (
            len(message) > 300
            or (words.endswith((".", "!")) and not words.endswith("..."))
            or re.search(r"\b(oops|sorry|please|invalid|illegal|bad|failed to)\b", words, re.I)
            or not re.match(r"[a-z<.`\-]|[A-Z][\w.]+[:( ]", words)
        ):
            odd.append(f"{file}:{line} {message}")
    assert odd == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('f"{path} has {len(rows)} rows"', "<path> has <number of rows> rows"),
        ("f\"{self.name!r}: use {', '.join(known)}\"", "<name>: use <known>"),
        ('"a" "b"', "ab"),
        ('f"{x.shape[0]:.1f}" + why', "<x shape><...>"),
    ],
)
def test_what_is_filled_in_has_a_name(tmp_path, code, message):
    path = tmp_path / "module.py"
    path.write_text(f"def f():\n    raise UserError({code})\n")
    assert list(errors.raised(path)) == [(2, "UserError", message)]
