"""A real JupyterLab for a test: a server of its own, and a notebook opened in it."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "listening"


def small_clone(folder):
    """The library and the listening room's notebook alone, in a folder that a test may write to."""
    left = shutil.ignore_patterns("__pycache__", "pretrained")
    shutil.copytree(ROOT / "denoise_lib", folder / "denoise_lib", ignore=left)
    (folder / "notebooks").mkdir()
    for name in ("listening_room", "01_noise_design", "05_street_noise"):
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder / "notebooks")
    shutil.copytree(ROOT / "notebooks" / "profiles", folder / "notebooks" / "profiles")
    return folder


def make_lab():
    """What `make lab` gives to `jupyter lab`."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    shown = subprocess.run(
        ["make", "-n", "lab"], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    ).stdout
    line = shown[shown.index("bin/jupyter lab ") :].replace("\\\n", " ")
    return shlex.split(line)[2:]


@contextmanager
def jupyter_lab(clone, settings):
    """Run `jupyter lab` as `make lab` does, on a free port of this machine; yields its address.

    Args:
        clone: Folder that it serves, whose library the kernels import.
        settings: Folder for all that Jupyter would keep in the user's home.
    """
    config = settings / "config"
    (config / "labconfig").mkdir(parents=True)
    # No question about news, which would lie over the notebook.
    disabled = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(disabled))
    names = ("config", "data", "runtime", "ipython", "settings", "workspaces")
    variables = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR",
    )
    environment = dict(os.environ, PYTHONPATH=str(clone))
    environment |= {key: str(settings / name) for key, name in zip(variables, names, strict=True)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        *make_lab(),
        "--no-browser",
        "--allow-root",
        f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
    ]
    log = settings / "server.log"
    with open(log, "wb") as output:
        server = subprocess.Popen(command, env=environment, cwd=clone, stdout=output, stderr=output)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(server, f"{address}/api/status?token={TOKEN}", log)
        yield address
    finally:
        server.terminate()  # JupyterLab ends its kernels
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(server, address, log, seconds=180):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            opener.open(address, timeout=5)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab does not start:\n{log.read_text()[-2000:]}")


@contextmanager
def opened_notebook(browser, address, name, **options):
    """A notebook with all cells run; fails on leaving if it asked for anything that is not on this
    server, or wrote an error to the console (JupyterLab itself writes none)."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, **options)
    page = context.new_page()
    page.set_default_timeout(180_000)  # a busy machine takes its time
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    try:
        page.goto(f"{address}/lab/tree/{name}.ipynb?token={TOKEN}")
        # Before the kernel is there, JupyterLab would ask which one to take.
        page.locator("#jp-bottom-panel, .jp-StatusBar-Widget").get_by_text(" | Idle").wait_for()
        page.locator(".lm-MenuBar").get_by_text("Run", exact=True).click()
        page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
        yield page
        elsewhere = [url[:80] for url in asked if not url.startswith((address, "data:", "blob:"))]
        assert not elsewhere, f"the notebook asks for {elsewhere}"
        assert not complaints, f"the console says {complaints}"
    finally:
        context.close()
