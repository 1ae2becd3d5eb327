"""The panel on stand-ins, with a phantom in its scene: what the tests of its pages share."""

from __future__ import annotations

import functools
import json
import sys
import time
from types import SimpleNamespace

from conftest import SHARED
from DicomAnalysisLib.mrml import volume_to_node
from DicomAnalysisLib.phantom import make_head_phantom
from standins import application

WIDGETS = SHARED / "slicer-golden" / "widgets.json"


@functools.cache
def golden_record():
    """What the real widgets have; a user's clone lacks the record and the panel is held to less."""
    return json.loads(WIDGETS.read_text(encoding="utf-8")) if WIDGETS.is_file() else None


@functools.cache
def head_phantom():
    return make_head_phantom(shape=(40, 128, 128), spacing=(3.75, 1.8, 1.8), tilt_degrees=12.0)


def run_application(monkeypatch):
    """Slicer as far as the stand-ins go; what a slot raises fails the test. The body of a fixture."""
    failures = []
    monkeypatch.setattr(sys, "excepthook", lambda *failure: failures.append(failure))  # what PySide6 prints
    with application(golden_record()) as running:
        yield running
    assert not failures


def open_panel(slicer_app):
    """The panel with the phantom loaded. The body of a fixture."""
    opened = SimpleNamespace(**vars(slicer_app))
    opened.node = volume_to_node(opened.scene, head_phantom().volume, "Phantom")
    opened.panel = opened.widget()
    opened.panel.enter()
    opened.ui = opened.panel.ui
    opened.tasks = opened.panel.tasks
    opened.logic = opened.panel.logic
    opened.parameters = opened.panel.logic.getParameterNode()
    return opened


class ScriptedJob:
    """What `BackgroundJob` is to the panel, ended by a test: in place of a call of the logic.

    After the panel has called it, `calls` holds what it was called with, and `on_epoch` tells of an epoch.
    """

    state, log, remaining_seconds = "running", "", None

    def __init__(self):
        self.progress = SimpleNamespace(value=0.5, stage="training", message="")
        self.result = self.failure = None
        self.calls = {}

    def __call__(self, *_arguments, **calls):
        self.calls = calls
        return self

    def on_epoch(self, epoch, score, is_best=True):
        numbers = {"training_loss": 0.9, "validation_loss": 1.0, "score": score, "is_best": is_best}
        self.calls["onEpoch"](SimpleNamespace(record={"epoch": epoch, **numbers}, strip=""))
        self.calls["onProgress"](self)

    def end(self, result):
        self.result = result
        self.calls["onDone"](self)

    def cancel(self):
        self.failure = SimpleNamespace(kind="cancelled", message="Cancelled.", details="")
        self.calls["onDone"](self)

    def wait(self, _seconds=None):
        return self.result


def nodes(scene, kind):
    return [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]


def until(app, condition, seconds=60.0):
    """Let the event loop run until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        app.processEvents()
        time.sleep(0.01)


def finish(opened, seconds=60.0):
    """Let the panel's task go on to its end."""
    until(opened.app, lambda: not opened.tasks.title, seconds)
