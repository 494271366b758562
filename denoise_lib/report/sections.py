"""One executed notebook as one section of the page."""

from __future__ import annotations

import json
import mimetypes
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from latex2mathml.converter import convert
from nbconvert.exporters import TemplateExporter
from nbconvert.filters import Highlight2HTML, strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from denoise_lib.display.player import data_uri
from denoise_lib.display.show import PHONE
from denoise_lib.errors import UserError
from denoise_lib.files import read_json
from denoise_lib.names import prose
from denoise_lib.paths import TEMPLATE
from denoise_lib.report.parameters import Parameter, cell_parameters

SHOWN = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown")


@dataclass
class Section:
    """A notebook on the page; `html` is empty when it has not been run."""

    name: str
    title: str
    html: str = ""
    contents: list[tuple[str, str]] = field(default_factory=list)  # anchors, headings
    # Parameters with their values, and those of the profile.
    parameters: list[tuple[Parameter, Any, Any]] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)  # run.json
    flags: list[str] = field(default_factory=list)  # how it differs from the rest of the page

    @property
    def number(self) -> str:
        """Number of the section, without the notebook's leading zero."""
        return str(int(self.name[:2]))

    @property
    def rerun(self) -> str:
        """The command that makes this section again, with its parameters; harmless when pasted."""
        changed = [
            # A text is taken as it stands, anything else as YAML, of which JSON is a part.
            (known.name, value if isinstance(value, str) else json.dumps(value))
            for known, value, expected in self.parameters
            if value != expected
        ]
        profile = self.run.get("profile", "quick")
        if not changed:
            profile = f" PROFILE={shlex.quote(profile)}" if profile != "quick" else ""
            return f"make notebook NB={self.name}{profile}"
        # Not through make, which with a second shell would take quotes and dollars for its own.
        command = [".venv/bin/denoise", "notebook", self.name]
        command += ["--profile", profile] if profile != "quick" else []
        for pair in changed:
            command += ["-p", *pair]
        return shlex.join(command)

    def anchor(self, line: dict[str, Any]) -> str:
        """Anchor of the output of the cell that made a line of results or measurements."""
        return f"{self.name}-cell-{line['cell']}"


def read_section(name: str, build: Path, notebooks: Path, profile: dict[str, Any]) -> Section:
    """Read one run; a notebook without a run gives a section without html.

    Args:
        name: Notebook, such as "04_dcunet".
        build: Folder of the profile's runs.
        notebooks: Folder of the notebooks' sources, for titles and pictures.
        profile: {parameter: value} that the profile sets for this notebook.

    Raises:
        UserError: The run holds an error, a formula or a picture that cannot be shown.
    """
    folder = Path(build) / name
    run = read_json(folder / "run.json") if (folder / "run.json").exists() else {}
    path = folder / "executed.ipynb" if run else Path(notebooks) / f"{name}.ipynb"
    node = nbformat.read(path, as_version=4)
    title = _take_title(node, name)
    if not run:
        return Section(name, title)
    if any(
        output.output_type == "error" for cell in node.cells for output in cell.get("outputs", [])
    ):
        raise UserError(f"{path} holds an error; run the notebook again before building the page")
    known = cell_parameters(node, name)
    parameters = [
        (parameter, run["parameters"][key], profile.get(key, parameter.default))
        for key, parameter in known.items()
        if key in run["parameters"] and key != "profile"
    ]
    _anchor_cells(node, name)
    renderer = Renderer(name, Path(notebooks))
    exporter = SectionExporter(renderer)
    body, _ = exporter.from_notebook_node(node, resources={"parameters": parameters})
    return Section(name, title, body, renderer.headings, parameters, run)


def flag_differences(sections: Iterable[Section]) -> None:
    """Note on each section how it differs from the rest.

    A section differs by its commit, by the packages and the Python that made it, by parameters
    that are not the profile's, or by having been made from another run of a notebook than the one
    that the page shows.
    """
    made = [section for section in sections if section.run]
    commits = Counter(section.run["commit"] for section in made)
    usual = commits.most_common(1)[0][0] if commits else None
    installed = Counter(map(_installed, made)).most_common(1)
    now = {section.name: section.run["fingerprint"] for section in made}
    for section in made:
        commit = section.run["commit"]
        if commit != usual:
            section.flags.append(
                f"it was made from commit {short(commit)}, most of this page from {short(usual)}"
            )
        for name, version in sorted(set(_installed(section)) - set(installed[0][0])):
            section.flags.append(f"made with {name} {version}, which most of this page was not")
        for parameter, value, expected in section.parameters:
            if value != expected:
                section.flags.append(
                    f"{parameter.name} is {_plain(value)}, while the profile has {_plain(expected)}"
                )
        for other, fingerprint in section.run.get("needs", {}).items():
            if now.get(other, fingerprint) != fingerprint:
                section.flags.append(
                    f"it was made from an earlier run of {other} than the one shown here"
                )


def _plain(value: Any) -> str:
    """A parameter's value as a reader expects it: a list without its brackets."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "empty"
    return str(value)


def _installed(section: Section) -> tuple[tuple[str, str], ...]:
    """(name, version) of the packages and the Python that made a section."""
    python = section.run["machine"].get("python", "unknown")
    return (*sorted(section.run["versions"].items()), ("Python", python))


def short(commit: str | None) -> str:
    """The first letters of a commit, or words where there is none."""
    return commit[:10] if commit else "no commit"


def _take_title(node: NotebookNode, name: str) -> str:
    """Remove the notebook's first heading and return its text: the page sets it itself."""
    for cell in node.cells:
        found = (
            re.match(r"\s*# +(.+?)\s*(\n|$)", cell.source) if cell.cell_type == "markdown" else None
        )
        if found:
            cell.source = cell.source[found.end() :]
            return re.sub(r"^\d+[.:]?\s+", "", found[1])
    return name[3:].replace("_", " ").capitalize()


def _anchor_cells(node: NotebookNode, name: str) -> None:
    """Give each code cell an anchor, by the number that the run has stamped on what it made.

    A cell that shows nothing lends its anchor to the next one that does.
    """
    silent: list[str] = []
    for cell in node.cells:
        if cell.cell_type != "code" or cell.execution_count is None:
            continue
        silent.append(f"{name}-cell-{cell.execution_count}")
        if parts(cell)["shown"]:
            cell.metadata["anchors"] = silent[::-1]
            silent = []


class SectionExporter(TemplateExporter):
    """nbconvert with the template of this page: nothing in it comes from elsewhere."""

    file_extension = ".html"
    template_name = "section"

    def __init__(self, renderer: Renderer) -> None:
        super().__init__(extra_template_basedirs=[str(TEMPLATE)])
        self.register_filter("markdown", renderer.markdown)
        self.register_filter("code", Highlight2HTML())
        self.register_filter("parts", parts)


def parts(cell: NotebookNode) -> dict[str, Any]:
    """What a code cell shows, and what it logs.

    Returns:
        {"shown": [(mime type, data)], "log": text}; a text that is only a value's repr is logged.
    """
    shown, log = [], []
    for output in cell.outputs:
        if output.output_type == "stream":
            log.append(output.text)
            continue
        kind = next((kind for kind in SHOWN if kind in output.data), None)
        if kind:
            shown.append((kind, output.data[kind]))
        elif "text/plain" in output.data:
            log.append(output.data["text/plain"] + "\n")
    return {"shown": shown, "log": _final_lines(strip_ansi("".join(log)))}


def _final_lines(text: str) -> str:
    """Keep what a terminal would still show of lines that were written over."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")).strip("\n")


def diagram(path: Path, text: str) -> str:
    """A picture as HTML that holds it; on a phone the one beside it that ends in -narrow, if any.

    Args:
        path: Of the picture.
        text: What it shows, for those who do not see it.
    """
    kind = mimetypes.guess_type(path.name)[0]
    wide, narrow = (
        data_uri(kind, each.read_bytes()) if each.is_file() else ""
        for each in (path, path.with_stem(f"{path.stem}-narrow"))
    )
    if not narrow:
        return f'<img class="diagram" alt="{escape(text)}" src="{wide}">'
    return (
        f'<picture><source media="{PHONE}" srcset="{narrow}">'
        f'<img class="diagram fits" alt="{escape(text)}" src="{wide}"></picture>'
    )


class Renderer(IPythonRenderer):
    """Markdown to HTML: formulas as MathML, pictures inside, headings below the section's title."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.name, self.folder = name, folder
        self.headings: list[tuple[str, str]] = []

    def markdown(self, text: str) -> str:
        """Markdown as HTML."""
        return MarkdownWithMath(renderer=self).render(text)

    def text(self, text: str) -> str:
        """What is neither code nor a formula, as it is set on the page."""
        return prose(super().text(text))

    def heading(self, text: str, level: int, **_: Any) -> str:
        """A heading with an anchor, one level below the section's title or deeper."""
        words = re.findall(r"[a-z0-9]+", re.sub("<[^>]+>", "", text).lower())
        anchor = "-".join([self.name, *words])
        taken = [known for known, _ in self.headings]
        while anchor in taken:
            anchor += "-again"
        if level <= 2:
            self.headings.append((anchor, re.sub("<[^>]+>", "", text)))
        level = min(max(level, 2) + 1, 6)
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link out of the page, or to the section of another notebook."""
        notebook = re.fullmatch(r"(?:\./)?(\d\d_\w+)\.ipynb", url)
        if notebook:
            return f'<a href="#{notebook[1]}">{text}</a>'
        # A file of the repository is nowhere beside the page.
        return super().link(text, url, title) if re.match(r"https?:|mailto:|#", url) else text

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """A picture of the repository, inside the page."""
        if url.startswith(("attachment:", "data:")):
            return super().image(text, url, title)
        path = self.folder / url
        kind = mimetypes.guess_type(path.name)[0]
        if not path.is_file() or not kind:
            raise UserError(
                f"{self.name}: there is no picture {url}; pictures must be files of the repository"
            )
        return diagram(path, text)

    def inline_math(self, body: str) -> str:
        """A formula in a line, as MathML."""
        return self._formula(body, "inline")

    def block_math(self, body: str) -> str:
        """A formula on a line of its own, as MathML."""
        return f'<span class="formula">{self._formula(body, "block")}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        """A formula in a LaTeX environment, as MathML."""
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def _formula(self, body: str, display: str) -> str:
        try:
            result = convert(body.strip(), display=display)
        except Exception as error:  # latex2mathml has a dozen of its own
            raise UserError(
                f"{self.name}: the formula {body.strip()!r} cannot be set: {error!r}"
            ) from None
        unknown = re.search(r">(\\\w+)<", result)
        if unknown:
            raise UserError(
                f"{self.name}: the formula {body.strip()!r} uses {unknown[1]}, which cannot be set"
            )
        return result.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
