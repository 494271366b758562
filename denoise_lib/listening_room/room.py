"""The listening room: choose a sound, its damage and networks, and hear what changes.

This module holds widgets only; :mod:`denoise_lib.listening_room.scene` computes the sound.
"""

from __future__ import annotations

import asyncio
import html
import math
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from denoise_lib.display.player import compare
from denoise_lib.errors import UserError
from denoise_lib.files import resource
from denoise_lib.listening_room import parameter_file
from denoise_lib.listening_room.controls import DamageControls, ModelControls
from denoise_lib.listening_room.scene import NONE, STREET, Scene, Setting
from denoise_lib.listening_room.sound import SoundControls, script
from denoise_lib.names import condition, heading, label, score
from denoise_lib.paths import ROOT

STILL = 0.08  # s that controls must rest before anything is computed
QUICK = 0.5  # s that networks may take before the damage alone is played in the meantime


class Room(widgets.VBox):
    """The listening room; display it as the last value of a cell.

    Args:
        scene: What there is to choose from; corpora and networks of this clone when None.
        root: The clone, in whose report/ parameters are saved.
    """

    def __init__(self, scene: Scene | None = None, root: Path = ROOT) -> None:
        self.scene, self.root = scene or Scene(), root
        self.mark = f"room-{uuid.uuid4().hex[:8]}"  # finds this room in the document
        self._turn = 0  # counts changes, so that what is computed for an older one is dropped
        self._tasks: set[asyncio.Task] = set()
        self._worker = ThreadPoolExecutor(1)  # networks: the widgets stay alive meanwhile
        self._seconds: dict[str, float] = {}  # that each network took the last time
        self.status = widgets.HTML()
        self.player = widgets.Output()
        self.table = widgets.HTML()
        self.sound = SoundControls(self.scene, self.mark, self._sound_changed, self.say)
        self.damage = DamageControls(self.scene, self.changed, self._draw_again)
        self.models = ModelControls(self.scene, self.changed)
        self.file = widgets.Text(value="room.yaml", description="file in report/")
        self.save = widgets.Button(description="save these parameters", layout={"width": "auto"})
        self.command = widgets.HTML()
        self.save.on_click(self._save)
        super().__init__(self._parts())
        self.add_class("denoise-room")
        self._sound_changed()

    def _parts(self) -> list[widgets.Widget]:
        controls = widgets.VBox([self.sound.box, self.damage.box, self.models.box])
        saving = widgets.HBox([self.file, self.save])
        heard = widgets.VBox([self.status, self.player, self.table, saving, self.command])
        parts = widgets.HBox([controls, heard])
        self.player.add_class(f"{self.mark}-player")
        for widget, name in (
            (controls, "controls"),
            (saving, "saving"),
            (heard, "heard"),
            (parts, "parts"),
            (self.status, "status"),
            (self.command, "command"),
            (self.table, "table"),
        ):
            widget.add_class(f"room-{name}")
        return [widgets.HTML(f"<style>{resource(__package__, 'room.css')}</style>"), parts]

    @property
    def setting(self) -> Setting:
        """What the controls say."""
        return Setting(self.sound.name, models=self.models.chosen, **self.damage.values())

    def say(self, sentence: str, error: bool = False) -> None:
        """Write the status line."""
        kind = "alert" if error else "status"
        self.status.value = f'<p role="{kind}">{html.escape(sentence)}</p>'

    def changed(self) -> None:
        """Something was set: compute it once nothing moves any more; the latest setting wins."""
        self._turn += 1
        coming = self._update(self._turn, time.perf_counter())
        try:
            task = asyncio.get_running_loop().create_task(coming)
        except RuntimeError:  # no kernel: at once
            asyncio.run(coming)
            return
        self._tasks.add(task)  # a loop holds its tasks but weakly
        task.add_done_callback(self._tasks.discard)

    def _sound_changed(self) -> None:
        seed = parameter_file.own_seed(self.scene, self.setting)
        if seed != self.damage.seed.value:
            self.damage.seed.value = seed  # calls changed()
        else:
            self.changed()

    def _draw_again(self) -> None:
        self.damage.seed.value = parameter_file.next_seed(self.scene, self.setting)

    async def _update(self, turn: int, since: float) -> None:
        await asyncio.sleep(STILL)
        if turn != self._turn:
            return
        try:
            await self._hear(turn, self.setting, since)
        except UserError as error:
            self._fail(turn, str(error))
        except Exception as error:  # a traceback would go to the kernel's log, where nobody looks
            self._fail(turn, f"{type(error).__name__}: {error}")

    def _fail(self, turn: int, reason: str) -> None:
        if turn == self._turn:  # else nobody asks any more
            self.say(reason, error=True)

    async def _hear(self, turn: int, setting: Setting, since: float) -> None:
        """Compute the cheap part first: the damage, then networks, then PESQ.

        What was heard last stays until something else can be.
        """
        scene, failed = self.scene, []
        self._note_seed(setting)
        scene.noisy(setting)  # raises where parameters do not go together, before anything changes
        todo = [model for model in setting.models if not scene.known(setting, model)]
        ready = [model for model in setting.models if model not in todo]
        if todo:
            self._show_scores(setting, ready)
            self.say(f"{label(todo[0])} is at work")
            if sum(self._seconds.get(model, math.inf) for model in todo) > QUICK:
                self._play(setting, ready)
        for model in todo:
            start = time.perf_counter()
            try:
                await self._work(scene.output, setting, model)
                ready.append(model)
            except UserError as error:
                failed.append(str(error))
            self._seconds[model] = time.perf_counter() - start
            if turn != self._turn:
                return
        ready = [model for model in setting.models if model in ready]
        self._play(setting, ready)
        self._show_scores(setting, ready)
        self.say(failed[0] if failed else self._heard(setting, since), error=bool(failed))
        if self.models.pesq.value:
            await self._add_pesq(turn, setting, ready)

    async def _add_pesq(self, turn: int, setting: Setting, models: list[str]) -> None:
        for name in self.scene.versions(setting, tuple(models)):
            await self._work(self.scene.scores, setting, name, ("pesq",))
            if turn != self._turn:
                return
        self._show_scores(setting, models, pesq=True)

    def _work(self, function: Callable, *args: Any) -> asyncio.Future:
        return asyncio.get_running_loop().run_in_executor(self._worker, function, *args)

    def _play(self, setting: Setting, models: list[str]) -> None:
        versions = self.scene.versions(setting, tuple(models))
        scores = {name: self.scene.scores(setting, name) for name in versions}
        player = compare(versions, title=_title(setting), scores=scores)
        markup = f"{player._repr_html_()}\nattach('{self.mark}')"
        # Set at once: cleared and shown again, the page would jump.
        self.player.outputs = (script(markup),)

    def _show_scores(self, setting: Setting, models: list[str], pesq: bool = False) -> None:
        metrics = ["wsdr", "si_sdr", "pesq"] if self.models.pesq.value else ["wsdr", "si_sdr"]
        rows = dict.fromkeys((*self.scene.versions(setting, ()), *setting.models), {})
        for name in self.scene.versions(setting, tuple(models)):
            rows[name] = self.scene.scores(setting, name)
            if pesq:
                rows[name] = rows[name] | self.scene.scores(setting, name, ("pesq",))
        self.table.value = table(rows, metrics)

    def _heard(self, setting: Setting, since: float) -> str:
        parts = [f"heard after {time.perf_counter() - since:.2f} s"]
        if setting.damage == STREET:
            parts.append(f"street: {self.scene.street_recording(setting)}")
        if setting.damage == NONE and setting.models:
            parts.append("nothing is damaged: scores say how much a network changes the sound")
        return "; ".join(parts)

    def _note_seed(self, setting: Setting) -> None:
        notebook = parameter_file.notebook_of(setting.damage)
        same = parameter_file.plays(self.scene, setting)
        note = f"{notebook} {'plays' if same else 'does not play'} this sound with this seed"
        self.damage.note.value = f"<p>{note}</p>" if notebook else ""

    def _save(self, _: Any) -> None:
        try:
            found = parameter_file.made_for(self.scene, self.setting)
            command = parameter_file.write(found, self.file.value, self.root)
        except UserError as error:
            self.say(str(error), error=True)
            return
        remarks = html.escape(" ".join(found.remarks))
        self.command.value = (
            f"<p>Saved. From the clone's folder:</p><pre>{html.escape(command, quote=False)}</pre>"
            f"<p>{remarks}</p>"
        )


def table(rows: dict[str, dict], metrics: list[str]) -> str:
    """Scores as an HTML table, a version in each row; those that are computed still are dots."""
    head = "".join(f'<th scope="col">{heading(metric)}</th>' for metric in metrics)
    lines = [f'<table><thead><tr><th scope="col">version</th>{head}</tr></thead><tbody>']
    for name, scores in rows.items():
        cells = (score(m, scores[m]) if m in scores else "\N{HORIZONTAL ELLIPSIS}" for m in metrics)
        written = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{html.escape(label(name))}</th>{written}</tr>')
    lines.append("</tbody></table><p>wSDR: \N{MINUS SIGN}1 is perfect, lower is better.")
    return "".join([*lines, " SI-SDR: higher is better.</p>"])


def _title(setting: Setting) -> str:
    if setting.damage == NONE:
        return f"{setting.sound}, undamaged"
    return f"{setting.sound}, {condition(setting.damage)}"
