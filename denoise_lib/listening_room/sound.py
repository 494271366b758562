"""What one listens to in the room: a clip of the corpus, a file, or a recording made there."""

from __future__ import annotations

import base64
import binascii
import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from denoise_lib.errors import UserError
from denoise_lib.files import resource
from denoise_lib.listening_room import parameter_file
from denoise_lib.listening_room.controls import group, shown, wide
from denoise_lib.listening_room.scene import LONGEST, Scene
from denoise_lib.names import SPLITS

SPLIT_NAMES = {"train": "training clips"} | SPLITS
_MICROPHONE = (
    '<div class="room-microphone"><button type="button" class="jupyter-button">record</button>'
    f'<p role="status">at most {LONGEST:g} s, as it sounds: nothing is filtered</p></div>'
)


def script(call: str) -> dict:
    """An output that runs a function of room.js; ``call`` may have markup before its <script>."""
    markup, _, function = call.rpartition("\n")
    code = f"{resource(__package__, 'room.js')}; window.denoiseRoom.{function}"
    source = f"{markup}<script>{code}</script>"
    return {"output_type": "display_data", "data": {"text/html": source}, "metadata": {}}


class SoundControls:
    """Choose a clip, upload a file, or record.

    Args:
        mark: Name of the room in the document, for the microphone.
        changed: Called when ``name`` is another sound.
        say: Called with a sentence, and with ``error=True`` where something went wrong.
    """

    def __init__(self, scene: Scene, mark: str, changed: Callable, say: Callable) -> None:
        self.scene, self.changed, self.say = scene, changed, say
        first = scene.clip(parameter_file.first_clip(scene))
        self.names = {"clip": first.name}  # of the last sound from each source
        self.source = widgets.ToggleButtons(
            options=[("clip", "clip"), ("file", "file"), ("microphone", "microphone")],
            tooltips=["of the speech corpus", "of your own", "record now"],
            style={"button_width": "auto"},
        )
        splits = [(name, split) for split, name in SPLIT_NAMES.items() if scene.clips(split)]
        self.split = widgets.Dropdown(
            description="split", options=splits, value=first.split, layout=wide()
        )
        self.voice = widgets.Dropdown(description="voice", layout=wide())
        self.clip = widgets.Dropdown(description="clip", layout=wide())
        self._fill_voices(first.voice)
        self._fill_clips(first.name)
        self.upload = widgets.FileUpload(description="choose a file", layout=wide())
        self.loaded = widgets.HTML()
        self.microphone = widgets.Output()
        self.recorded = widgets.Textarea()
        self.recorded.add_class(f"{mark}-recorded")
        shown(self.recorded, False)
        self.microphone.outputs = (script(f"{_MICROPHONE}\nmicrophone('{mark}', {LONGEST})"),)
        self.microphone.add_class(f"{mark}-microphone")
        self._takes = 0
        self.panels = {
            "clip": widgets.VBox([self.split, self.voice, self.clip]),
            "file": self.upload,
            "microphone": widgets.VBox([self.microphone, self.recorded]),
        }
        self.box = group("Sound", [self.source, *self.panels.values(), self.loaded])
        self._show_source()
        self.source.observe(self._choose_source, "value")
        self.split.observe(lambda _: self._fill_voices(self.voice.value), "value")
        self.voice.observe(lambda _: self._fill_clips(), "value")
        self.clip.observe(self._choose_clip, "value")
        self.upload.observe(self._take_upload, "value")
        self.recorded.observe(self._take_recording, "value")

    @property
    def name(self) -> str:
        """The chosen sound; while there is none from this source yet, the clip."""
        return self.names.get(self.source.value, self.names["clip"])

    def _fill_voices(self, wanted: str | None) -> None:
        voices = sorted({each.voice for each in self.scene.clips(self.split.value)})
        self.voice.options = voices
        self.voice.value = wanted if wanted in voices else voices[0]
        self._fill_clips()

    def _fill_clips(self, wanted: str | None = None) -> None:
        clips = self.scene.clips(self.split.value, self.voice.value)
        rate = self.scene.speech.rate
        options = [(f"{each.name}, {each.samples / rate:.1f} s", each.name) for each in clips]
        if tuple(options) != self.clip.options:
            self.clip.options = options  # chooses the first
        if wanted:
            self.clip.value = wanted

    def _choose_clip(self, change: Any) -> None:
        if change.new:
            self.names["clip"] = change.new
            self.changed()

    def _show_source(self) -> None:
        for source, panel in self.panels.items():
            shown(panel, source == self.source.value)
        shown(self.loaded, self.source.value != "clip")

    def _choose_source(self, _: Any) -> None:
        self._show_source()
        self.loaded.value = ""
        self.changed()

    def _take_upload(self, change: Any) -> None:
        if change.new:
            file = change.new[-1]
            self._take("file", file["name"], bytes(file["content"]))

    def _take_recording(self, change: Any) -> None:
        """A data URI that the microphone's script has left in the hidden text."""
        if not change.new:
            return
        kind, _, content = change.new.partition(";base64,")
        self._takes += 1
        suffix = kind.removeprefix("data:audio/").split(";")[0]
        try:
            content = base64.b64decode(content, validate=True)
        except binascii.Error:
            self.say("the recording did not arrive whole: record it again", error=True)
            return
        self._take("microphone", f"recording {self._takes}.{suffix}", content)

    def _take(self, source: str, name: str, content: bytes) -> None:
        try:
            note = self.scene.add(name, content)
        except UserError as error:
            self.say(str(error), error=True)
            return
        self.names[source] = name
        self.loaded.value = f"<p>{html.escape(note)}</p>"
        self.changed()
