"""What one sets in the listening room besides the sound: its damage, and the models to hear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from denoise_lib.damage.corruption import FIXED
from denoise_lib.listening_room.scene import DRAWN, NONE, STREET, Scene, Setting
from denoise_lib.names import condition, label


def wide() -> widgets.Layout:
    """As wide as the group. One for each widget: a shared one would hide them all together."""
    return widgets.Layout(width="auto")


def group(title: str, children: list) -> widgets.VBox:
    """A group of controls under its heading."""
    box = widgets.VBox([widgets.HTML(f"<h3>{title}</h3>"), *children])
    box.add_class("room-group")
    return box


def shown(widget: widgets.Widget, visible: bool) -> None:
    """Show or hide a widget."""
    widget.layout.display = None if visible else "none"


class DamageControls:
    """Choose a damage and every parameter of it.

    Args:
        changed: Called when anything is another value.
        draw: Called by the button "draw again".
    """

    def __init__(self, scene: Scene, changed: Callable, draw: Callable) -> None:
        self.kind = widgets.Dropdown(
            description="damage",
            options=[(name, kind) for kind, name in _DAMAGES.items()],
            value=Setting.damage,
            layout=wide(),
        )
        self.fixed = {
            "quantile": _share("quantile", "share of coefficients that counts as small"),
            "zero": _share("zeroed", "share of the large coefficients that becomes 0"),
            "raised": _share("raised", "share of the small coefficients that becomes the value"),
            "value": _reals("value", "what a raised coefficient becomes", 0, 10, 0.1),
            "n_fft": _samples("frame", "samples of an STFT frame", 64, 2048, 32),
            "hop": _samples("hop", "samples from frame to frame", 32, 1024, 16),
            "window": widgets.Dropdown(
                description="window", options=["rect", "hann"], layout=wide()
            ),
        }
        recordings = sorted(each.name for each in scene.noise.clips)
        self.street = {
            "recording": widgets.Dropdown(
                description="recording", options=[DRAWN, *recordings], layout=wide()
            ),
            "snr_db": _reals("SNR, dB", "speech to street over the clip", -15, 30, 0.25),
        }
        for name, widget in (self.fixed | self.street).items():
            widget.value = getattr(Setting, name)
        self.seed = widgets.BoundedIntText(description="seed", min=0, max=10**6, layout=wide())
        self.draw = widgets.Button(
            description="draw again",
            layout=wide(),
            tooltip="the next seed, one with which the notebook plays this clip where there is one",
        )
        self.defaults = widgets.Button(description="defaults", layout=wide())
        self.note = widgets.HTML()
        self.note.add_class("room-note")
        buttons = widgets.HBox([self.draw, self.defaults])
        buttons.add_class("room-buttons")
        self.box = group(
            "Damage",
            [self.kind, *self.fixed.values(), *self.street.values(), self.seed, buttons, self.note],
        )
        self._show_kind()
        self.kind.observe(self._show_kind, "value")
        for widget in self._all().values():
            widget.observe(lambda _: changed(), "value")
        self.draw.on_click(lambda _: draw())
        self.defaults.on_click(self._reset)

    def values(self) -> dict:
        """Values by the names of ``Setting``; sliders leave the tail of binary fractions."""
        found = {name: widget.value for name, widget in self._all().items()}
        return {key: round(v, 6) if isinstance(v, float) else v for key, v in found.items()}

    def _all(self) -> dict:
        return {"damage": self.kind, **self.fixed, **self.street, "seed": self.seed}

    def _show_kind(self, _: Any = None) -> None:
        kind = self.kind.value
        for widget in self.fixed.values():
            shown(widget, kind in FIXED)
        for widget in self.street.values():
            shown(widget, kind == STREET)
        for widget in (self.seed, self.draw, self.defaults):
            shown(widget, kind != NONE)
        self.fixed["zero"].disabled = kind == "raise"
        self.fixed["raised"].disabled = self.fixed["value"].disabled = kind == "zero"

    def _reset(self, _: Any) -> None:
        for name, widget in (self.fixed | self.street).items():
            widget.value = getattr(Setting, name)


class ModelControls:
    """Choose any number of networks, and whether PESQ is taken."""

    def __init__(self, scene: Scene, changed: Callable) -> None:
        self.boxes = {
            name: widgets.Checkbox(description=label(name), indent=False, layout=wide())
            for name in scene.models
        }
        self.pesq = widgets.Checkbox(description="PESQ too (slow)", indent=False, layout=wide())
        chosen = [name for name in _FIRST if name in self.boxes]
        if chosen:
            self.boxes[chosen[0]].value = True
        models = widgets.VBox(list(self.boxes.values()))
        models.add_class("room-models")
        none = widgets.HTML("<p>None yet: <code>make report</code> trains them.</p>")
        self.box = group("Models", [models if self.boxes else none, self.pesq])
        for box in (*self.boxes.values(), self.pesq):
            box.observe(lambda _: changed(), "value")

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the networks that are ticked."""
        return tuple(name for name, box in self.boxes.items() if box.value)


_DAMAGES = {NONE: "none"} | {each: condition(each) for each in (*FIXED, STREET)}
_FIRST = ("speech", "quick both dcunet")  # ticked at the start, the first of them that is there


def _reals(name: str, meaning: str, low: float, high: float, step: float) -> widgets.FloatSlider:
    return widgets.FloatSlider(
        description=name, tooltip=meaning, min=low, max=high, step=step, layout=wide()
    )


def _samples(name: str, meaning: str, low: int, high: int, step: int) -> widgets.IntSlider:
    return widgets.IntSlider(
        description=name, tooltip=meaning, min=low, max=high, step=step, layout=wide()
    )


def _share(name: str, meaning: str) -> widgets.FloatSlider:
    return _reals(name, meaning, 0, 1, 0.01)
