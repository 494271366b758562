"""Copy the built page of the quick profile, its example clips and its trained networks to where
visitors and users find them without building."""

import shutil
from pathlib import Path

from denoise_lib.errors import UserError
from denoise_lib.files import atomic, read_json
from denoise_lib.paths import ROOT, runs_folder
from denoise_lib.report import examples, readme
from denoise_lib.report.page import BUDGET
from denoise_lib.report.provenance import PRETRAINED

PROFILE = "quick"


def publish(root=ROOT):
    """Copy report/index.html and report/results.json to docs/, example clips to audio/, trained
    networks to denoise_lib/pretrained/, and bring README's table in step.

    Raises:
        UserError: there is no page, it is of another profile or too large, or its numbers were not
            all made from one commit; nothing is copied then.
    """
    root = Path(root)
    page = root / "report" / "index.html"
    results = read_json(root / "report" / "results.json")
    past = results["provenance"]
    if results["profile"] != PROFILE:
        raise UserError(
            f"the page is of profile {results['profile']!r}: run `make report` and publish "
            f"the {PROFILE} one"
        )
    if not page.exists():
        raise UserError(f"{page} does not exist: run `make report`")
    if page.stat().st_size > BUDGET:
        raise UserError(
            f"{page} has {page.stat().st_size / 1e6:.1f} MB, more than "
            f"{BUDGET / 1e6:.0f}: use fewer or shorter clips"
        )
    if past["dirty"]:
        raise UserError(
            "some runs were made with uncommitted changes: commit, then `make clean report`"
        )
    if not past["commit"]:
        raise UserError(
            "the runs are of different commits: `make clean report` makes them all again"
        )
    text = readme.rewritten((root / "README.md").read_text(encoding="utf-8"), results)
    build = runs_folder(PROFILE, root)
    copies = {root / "docs" / name: root / "report" / name for name in ("index.html", "results.json")}
    for name, source in PRETRAINED.items():
        copies[root / "denoise_lib" / "pretrained" / f"{name}.safetensors"] = build / source
    for source in copies.values():
        if not source.exists():
            raise UserError(f"{source} does not exist: run `make report`")
    examples.copy(build, root / "audio")
    for target, source in copies.items():
        with atomic(target) as temporary:
            shutil.copyfile(source, temporary)
    with atomic(root / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(
        f"published {page.stat().st_size / 1e6:.1f} MB to docs/; "
        "commit docs/, audio/, denoise_lib/pretrained/ and README.md"
    )
