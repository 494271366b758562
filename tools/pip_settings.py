"""Print what of the user's pip settings is kept for the set-up: where packages come from, no more.

`.venv/bin/python tools/pip_settings.py > pip.conf`. Others, such as `user`, `target` or `no-deps`,
would put packages elsewhere than into .venv, or leave some out. PIP_* variables are not among them:
pip reads those by itself.
"""

import configparser
import re
import subprocess
import sys

KEPT = (
    "index-url",
    "extra-index-url",
    "find-links",
    "trusted-host",
    "proxy",
    "cert",
    "client-cert",
    "keyring-provider",
    "timeout",
    "retries",
    "cache-dir",
    "no-cache-dir",
)


def kept(files: list[str]) -> str:
    """The settings to keep of these files, as one; later files go before earlier ones."""
    found = configparser.RawConfigParser()
    found.read(files)
    lines = ["[global]"]
    for name in KEPT:
        for section in ("install", "global"):
            if found.has_option(section, name):
                value = "\n    ".join(found.get(section, name).split())
                lines.append(f"{name} = {value}")
                break
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    # Not `config list`, which takes a setting `user` for an option of its own.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "debug"]
    told = subprocess.run(pip, check=True, capture_output=True, text=True).stdout
    print(kept(re.findall(r"^  (.+), exists: True$", told, re.MULTILINE)), end="")
