"""A small clone with finished runs, made without training: what the page is built from.

The clips are synthesised, the damage and the scores are real, and the networks are stood in for by
mixtures of the noisy and the clean clip. Nothing here says anything about a network.
"""

import functools
import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption
from denoise_lib.data.crops import clip_generator
from denoise_lib.display import figures, spectra
from denoise_lib.display import show as showing
from denoise_lib.display.player import compare
from denoise_lib.display.show import show, table, verdict
from denoise_lib.metrics.wsdr import wsdr
from denoise_lib.names import label
from denoise_lib.report import page
from denoise_lib.study.run import Run

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# How much of the damage each stand-in leaves.
LEFT = {"autoencoder": 0.8, "wavenet": 0.6, "dcunet": 0.35}
NETWORK_OF = {"02_autoencoder": "autoencoder", "03_wavenet": "wavenet", "04_dcunet": "dcunet"}
PARAMETERS = """profile = "quick"  # name of the set of values
out = ""  # folder of this run
seed = 0  # fixes all that is drawn
speech = "default"  # corpus
steps = 100  # training steps"""
SMALL_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="40" viewBox="0 0 160 40">'
    '<path d="M5 20h150" stroke="gray"/></svg>'
)


def voice(seed=0, seconds=2.5):
    """Something like a voice: a gliding tone with harmonics in two formants, in syllables."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * time + generator.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = ((500 + 150 * np.sin(4 * time), 150), (1700 + 400 * np.cos(3 * time), 250))
    wave = np.zeros_like(time)
    for harmonic in range(1, 30):
        strength = sum(np.exp(-(((harmonic * pitch - f) / w) ** 2)) for f, w in formants)
        wave += (strength + 0.01) * np.sin(harmonic * phase)
    wave *= np.clip(np.sin(2 * np.pi * 1.6 * time), 0, None)
    wave += 1e-4 * generator.standard_normal(len(time))
    return torch.from_numpy((0.05 * wave / np.sqrt((wave**2).mean())).astype(np.float32))


class Scene:
    """One clip under one condition, with every stand-in's output and the scores."""

    def __init__(self, condition, clip="en/clip-3", seed=0, seconds=2.5):
        self.condition, self.clip = condition, clip
        self.clean = voice(seed, seconds)
        if condition == "street":
            noise = torch.randn(len(self.clean), generator=clip_generator(clip)) * 0.045
            self.noisy = self.clean + noise
        else:
            damage = Corruption.for_condition(condition)
            self.noisy = damage(self.clean, clip_generator(clip))

    def output(self, model):
        return self.clean + LEFT[model] * (self.noisy - self.clean)

    def versions(self, *models):
        outputs = {model: self.output(model) for model in models}
        return {"clean": self.clean, "noisy": self.noisy, **outputs}

    def score(self, waveform):
        return float(wsdr(waveform, self.clean, self.noisy))

    def scores(self, *models):
        versions = self.versions(*models)
        return {name: {"wsdr": self.score(each), "pesq": 2.5} for name, each in versions.items()}

    def row(self, model):
        sides = {"noisy": self.noisy, "denoised": self.output(model)}
        scores = {side: {"wsdr": self.score(each)} for side, each in sides.items()}
        return {"clip": self.clip, "voice": "en", **scores}


@contextmanager
def captured():
    """Collect what figures, tables and verdicts would display."""
    shown, display = [], showing._display
    showing._display = shown.append
    try:
        yield shown
    finally:
        showing._display = display


def html(source):
    return new_output("display_data", {"text/html": source, "text/plain": "<object>"})


class Notebook:
    """Cells of an executed notebook; `show` takes a function that displays."""

    def __init__(self, name, title):
        self.name = name
        self.cells = [
            new_markdown_cell(f"# {title}"),
            new_code_cell(PARAMETERS, execution_count=1, metadata={"tags": ["parameters"]}),
        ]
        self.metadata = {}

    def text(self, text):
        self.cells.append(new_markdown_cell(text))

    @property
    def next(self):
        """The number that Jupyter would give to the next cell of code."""
        return 1 + sum(cell.cell_type == "code" for cell in self.cells)

    def code(self, source, outputs):
        self.cells.append(new_code_cell(source, execution_count=self.next, outputs=outputs))

    def show(self, source, display):
        with captured() as shown:
            result = display()
        if result is not None:
            shown.append(result._repr_html_())
        self.code(source, [html(each) for each in shown])

    def log(self, source, text):
        self.code(source, [new_output("stream", text=text)])

    def stamped(self, lines):
        """Stamp lines of a run with the number of the next cell, as a kernel would."""
        for line in lines:
            line["cell"] = self.next

    def write(self, path, outputs=True):
        node = new_notebook(cells=self.cells, metadata={"denoise": self.metadata})
        for index, cell in enumerate(node.cells):
            cell.id = f"cell{index}"
        if not outputs:
            node = nbformat.from_dict(json.loads(nbformat.writes(node)))
            for cell in node.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(node, path)


STAGES = {"before": "wavenet", "retrained": "dcunet"}  # whose output stands for the stage's


def noise_design(run):
    book = Notebook(run.name, "Noise design")
    book.text(
        "What does the *fixed* procedure do to speech?\n\n## The procedure\n\n"
        "It takes $X = \\mathrm{STFT}(x)$ and changes it, as `Corruption` does.\n\n"
        "$$\\mathrm{wSDR} = a\\,d(y, e) + (1 - a)\\,d(x - y, x - e),\\qquad "
        "d(u, v) = -\\frac{\\langle u, v\\rangle}{\\lVert u\\rVert\\,\\lVert v\\rVert}$$\n\n"
        "![The signal path](../pics/path.svg)\n\n| change | share |\n|---|---|\n"
        "| zeroing | $20\\,\\%$ |\n\nThe networks: [the next section]"
        "(02_autoencoder.ipynb) and [arXiv](https://arxiv.org)."
    )
    scenes = {each: Scene(each) for each in ("zero", "raise", "both")}
    versions = {"clean": scenes["both"].clean, **{k: each.noisy for k, each in scenes.items()}}
    book.show(
        "show(spectra.spectrograms(versions))",
        lambda: show(spectra.spectrograms(versions), "Clean, zeroed, raised, both."),
    )
    book.show(
        "compare(versions)",
        lambda: compare(
            versions,
            title="Damage by condition",
            listen_for="holes, and a buzz at -50 dB",
            scores={k: {"wsdr": each.score(each.noisy)} for k, each in scenes.items()},
        ),
    )
    mean = np.mean([each.score(each.noisy) for each in scenes.values()])
    book.show("verdict(...)", lambda: verdict(f"Damaged clips score {mean:.3f}."))
    return book


def network(run, model):
    book = Notebook(run.name, label(model))
    book.metadata = {"headline": {run.name: ["fixed"]}}
    book.text(f"Can the {label(model)} undo it?\n\n## Denoising")
    steps = np.arange(0, 101, 10)
    history = [
        {"step": int(step), "loss": -0.6 - 0.2 * step / 100, "valid": -0.6 - 0.25 * step / 100}
        for step in steps
    ]
    book.log("lab.train()", "step 50/100\rstep 100/100\n\x1b[32mdone\x1b[0m <b>in 3 s</b>\n")
    values = {}
    for condition in ("zero", "raise", "both"):
        scenes = [Scene(condition, f"en/clip-{i}", i, 1.0) for i in range(6)]
        rows = [each.row(model) for each in scenes]
        run.add(rows, condition=condition, model=model, split="test")
        values[condition] = {
            "noisy": [row["noisy"]["wsdr"] for row in rows],
            model: [row["denoised"]["wsdr"] for row in rows],
        }
    unseen = [Scene("both", f"ru/clip-{i}", 20 + i, 1.0).row(model) for i in range(4)]
    run.add(unseen, condition="both", model=model, split="unseen_voice")
    book.stamped(run.rows)
    run.measure("training time", model, 12.5, unit="s")
    book.stamped(run.measurements)
    book.show(
        "models, scores = lab.denoise(network)",
        lambda: show(figures.training_curves({"both": history, "zero": history[:6]}), "Training."),
    )
    book.show(
        "show(figures.scores_distribution(values))",
        lambda: show(figures.scores_distribution(values), "wSDR of every test clip."),
    )
    scene = Scene("both")
    versions, scores = scene.versions(model), scene.scores(model)
    player = compare(
        versions,
        title=f"Zeroing and raising: {scene.clip}",
        listen_for="what is left",
        scores=scores,
    )
    run.example("both-clip-3", player, clip=scene.clip, condition="both", split="test", voice="en")
    book.show("lab.player()", lambda: player)
    row = run.value("both", model)
    book.show(
        "verdict(...)",
        lambda: verdict(
            f"The {label(model)} goes from {row['noisy']:.3f} to {row['denoised']:.3f}."
        ),
    )
    return book


def street(run):
    book = Notebook(run.name, "Street noise")
    book.metadata = {"headline": {f"{run.name}:{each}": [each] for each in STAGES}}
    book.text("Does it help on a street?")
    scenes = [Scene("street", f"en/clip-{i}", i, 1.0) for i in range(6)]
    for stage, worth in STAGES.items():
        book.stamped(
            run.add(
                [each.row(worth) for each in scenes],
                condition="street",
                model="dcunet",
                split="test",
                experiment=f"05_street_noise:{stage}",
            )
        )
        book.show(
            f'lab.score(model, experiment="05_street_noise:{stage}")',
            lambda stage=stage: verdict(f"{stage}: scored."),
        )
    scene = Scene("street")
    book.show(
        "lab.player()",
        lambda: compare(
            scene.versions("dcunet"),
            title="On the street",
            listen_for="the street",
            scores=scene.scores("dcunet"),
        ),
    )
    rows = [["train", 30, 412.5], ["test", 12, None]]
    book.show("table(rows)", lambda: table(rows, ["split", "recordings", "s"], "Recordings."))
    return book


def make_clone(root, profile="quick"):
    """Write five notebooks and their finished runs below `root`."""
    build = root / "report" / "build" / profile
    (root / "pics").mkdir(parents=True, exist_ok=True)
    (root / "pics" / "path.svg").write_text(SMALL_PICTURE)
    for index, name in enumerate(["01_noise_design", *NETWORK_OF, "05_street_noise"]):
        run = Run(name, build / name, profile)
        if name in NETWORK_OF:
            book = network(run, NETWORK_OF[name])
        else:
            book = noise_design(run) if index == 0 else street(run)
        book.log("run.finish()", "that was all\n")
        book.write(root / "notebooks" / f"{name}.ipynb", outputs=False)
        run.finish()
        book.write(build / name / "executed.ipynb")
        record = {
            "notebook": name,
            "profile": profile,
            "parameters": {"profile": profile, "seed": 0, "speech": "default", "steps": 100},
            "fingerprint": f"{index:064x}",
            "reached": [],
            "needs": {"04_dcunet": f"{3:064x}"} if index == 4 else {},
            "commit": COMMIT,
            "dirty": False,
            "seconds": 60.0 + index,
            "peak_memory_mib": 500,
            "finished": f"2026-01-02T03:0{index}:00+00:00",
            "machine": {
                "processor": "A processor",
                "cores": 2,
                "memory_gib": 4.0,
                "system": "Linux 6",
                "python": "3.11.2",
            },
            "versions": {"torch": "2.13.0", "numpy": "2.4.0"},
            "corpora": {"speech": "ab" * 32},
        }
        (build / name / "run.json").write_text(json.dumps(record))
    return root


@functools.cache
def _shared_clone():
    folder = tempfile.TemporaryDirectory()  # goes when Python ends
    root = make_clone(Path(folder.name))
    page.build("quick", root)
    return folder, root


def shared_clone():
    """A clone with its page built, made once for all tests: read it, do not change it."""
    return _shared_clone()[1]


def own_clone(root, profile="quick", runs=()):
    """A copy of the shared clone in `root`, to be changed: only these runs, and no page yet."""
    shutil.copytree(shared_clone(), root, dirs_exist_ok=True)
    for built in ("index.html", "results.json"):
        (root / "report" / built).unlink()
    build = (root / "report" / "build" / "quick").rename(root / "report" / "build" / profile)
    for folder in build.iterdir():
        if folder.name not in runs:
            shutil.rmtree(folder)
            continue
        path = folder / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"profile": profile}))
    return root
