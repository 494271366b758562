"""A folder like a clone of the project, with notebooks of one's choice that run in a moment."""

import json

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from denoise_lib.report import runner

PARAMETERS = """profile = "quick"  # profile
out = ""  # folder of the run
steps = 3  # steps of training
rate = 0.5  # learning rate
voice = "en"  # voice
play = True  # players shown
conditions = ["both"]  # conditions"""
WRITE = """from pathlib import Path
Path(out, "seen.txt").write_text(f"{profile} {steps} {rate} {voice} {play} {conditions}")"""
# What Run.finish() leaves, and what a training leaves on its way.
FINISH = """import json, os
from pathlib import Path
done = {{"rows": [], "measurements": [], "differences": [], "shipped": []}}
done |= {{"peak_memory_mib": 9, "threads": int(os.environ.get("OMP_NUM_THREADS", 0))}}
Path(out, "results.json").write_text(json.dumps(done | {{"modules": {modules}}}))"""
READ = """from pathlib import Path
Path(out, "seen.txt").write_text(Path(out).parent.joinpath("01_a", "seen.txt").read_text())"""


class Clone:
    """A folder like a clone of the project, with notebooks of one's choice."""

    def __init__(self, root):
        self.root = root
        self.build = root / "report" / "build" / "quick"
        (root / "notebooks" / "profiles").mkdir(parents=True)
        (root / "denoise_lib").mkdir()
        self.profile("quick", "")

    def notebook(
        self,
        name,
        code=WRITE,
        *,
        prose="Prose.",
        parameters=(PARAMETERS,),
        mark=True,
        needs=(),
        modules=("denoise_lib.models",),
    ):
        cells = [new_markdown_cell(prose)]
        cells += [new_code_cell(source, metadata={"tags": ["parameters"]}) for source in parameters]
        cells += [new_code_cell(code), new_markdown_cell("The end.")]
        cells += [new_code_cell(FINISH.format(modules=list(modules)) if mark else "pass")]
        for index, cell in enumerate(cells):
            cell.id = f"cell{index}"
        metadata = {
            "denoise": {"needs": list(needs)},
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        }
        path = self.root / "notebooks" / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=cells, metadata=metadata), path)

    def profile(self, name, text):
        (self.root / "notebooks" / "profiles" / f"{name}.toml").write_text(text)

    def library(self, text, name="models.py"):
        (self.root / "denoise_lib" / name).write_text(text)

    def seen(self, name="01_a"):
        return (self.build / name / "seen.txt").read_text()

    def record(self, name="01_a"):
        return json.loads((self.build / name / "run.json").read_text())

    def stale(self):
        return runner.Study("quick", self.root).stale()

    def report(self, profile="quick"):
        return runner.report(profile, root=self.root)
