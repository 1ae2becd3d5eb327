"""Stand-in for `slicer.parameterNodeWrapper`: node, bool, number, text and enum parameters on a real MRML node.

It binds only the widget types that the real one binds to these parameters, and refuses the rest;
like the real one up to Slicer 5.13, `connectGui` gives no tag back and `connectParametersToGui` does.
It does not prove how the real one stores values: it stores them in its own way.
"""

from __future__ import annotations

import enum
import typing
from dataclasses import dataclass

PROPERTY = "SlicerParameterName"


@dataclass(frozen=True)
class WithinRange:
    """Annotation of a number: the values that are allowed."""

    minimum: float
    maximum: float


def parameterNodeWrapper(kind):  # noqa: N802
    """Class decorator: annotated attributes become parameters of the wrapped node."""
    full = typing.get_type_hints(kind, include_extras=True)
    hints = typing.get_type_hints(kind)
    kind._ranges = {
        name: next(value for value in hint.__metadata__ if isinstance(value, WithinRange))
        for name, hint in full.items()
        if hasattr(hint, "__metadata__")
    }
    for name, hint in hints.items():
        default = getattr(kind, name, None)
        setattr(kind, name, property(_reader(name, hint, default), _writer(name, hint)))
    kind._hints = hints
    kind.__init__ = _init
    kind.connectGui, kind.disconnectGui = _connect_gui, _disconnect_gui
    kind.connectParametersToGui = _connect_parameters
    kind.AddObserver = lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(
        event, callback, priority
    )
    kind.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    return kind


def _init(self, node):
    self.parameterNode = node
    self._bound = {}
    self._writing = False


def _is_node(hint):
    return hasattr(hint, "GetNodeTagName")


def _reader(name, hint, default):
    def read(self):
        if _is_node(hint):
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        if not text:
            return default
        if issubclass(hint, enum.Enum):
            return hint[text]
        return text == "True" if hint is bool else text[1:] if hint is str else hint(text)

    return read


def _writer(name, hint):
    def write(self, value):
        if _is_node(hint):
            if value is not None and not isinstance(value, hint):
                msg = f"{name} takes a {hint.__name__}, not {value.GetClassName()}"
                raise TypeError(msg)
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
        elif not isinstance(value, hint):
            msg = f"{name} takes {hint.__name__}, not {value!r}"
            raise TypeError(msg)
        elif name in self._ranges and not self._ranges[name].minimum <= value <= self._ranges[name].maximum:
            msg = f"{name} is outside {self._ranges[name]}: {value}"
            raise ValueError(msg)
        else:
            text = value.name if issubclass(hint, enum.Enum) else f"={value}" if hint is str else str(value)
            self.parameterNode.SetParameter(name, text)

    return write


class _Connector:
    """Reads and writes one widget; signals by the names that the real connectors use."""

    def __init__(self, widget, hint, within):
        class_name = widget.className()
        self.widget = widget
        if hint is bool and class_name in ("QCheckBox", "QPushButton"):
            self.signal = "toggled(bool)"
            self.read, self.write = lambda: widget.checked, lambda value: setattr(widget, "checked", value)
        elif class_name == "QComboBox" and not _is_node(hint) and issubclass(hint, enum.Enum):
            self.signal = "currentIndexChanged(int)"
            values = list(hint)
            widget.clear()
            for value in values:
                widget.addItem(value.label())
            self.read = lambda: values[widget.currentIndex]
            self.write = lambda value: setattr(widget, "currentIndex", values.index(value))
        elif class_name == "QLineEdit" and hint is str:
            self.signal = "textChanged(QString)"
            self.read, self.write = lambda: widget.text, lambda value: setattr(widget, "text", value)
        elif class_name in ("QDoubleSpinBox", "ctkSliderWidget") and hint is float:
            self.signal = "valueChanged(double)"
            widget.minimum, widget.maximum = within.minimum, within.maximum
            self.read, self.write = lambda: widget.value, lambda value: setattr(widget, "value", value)
        elif class_name in ("QSpinBox", "QSlider") and hint is int:
            self.signal = "valueChanged(int)"
            widget.minimum, widget.maximum = within.minimum, within.maximum
            self.read, self.write = lambda: widget.value, lambda value: setattr(widget, "value", value)
        elif class_name == "qMRMLNodeComboBox" and _is_node(hint):
            self.signal = "currentNodeChanged(vtkMRMLNode*)"
            widget.nodeTypes = [hint.__name__]
            self.read, self.write = widget.currentNode, widget.setCurrentNode
        else:
            msg = f"Unable to connect a {class_name} to a parameter of type {hint}"
            raise RuntimeError(msg)


def _connect_gui(self, ui):
    named = {}
    for widget in vars(ui).values():
        name = widget.property(PROPERTY)
        if name:
            named[name] = widget
    _connect_parameters(self, named)  # the tag is lost, as in the real one


def _connect_parameters(self, named):
    for name in named:
        if name not in self._hints:
            msg = f"Cannot find a param with the given name: {name}"
            raise ValueError(msg)
    connectors = {name: _Connector(widget, self._hints[name], self._ranges.get(name)) for name, widget in named.items()}
    tag = len(self._bound)
    self._bound[tag] = connectors
    for name, connector in connectors.items():
        connector.write(getattr(self, name))
        connector.widget.connect(connector.signal, lambda *_, n=name, c=connector: _to_node(self, tag, n, c))
    self.parameterNode.AddObserver("ModifiedEvent", lambda *_: _to_gui(self, tag))
    return tag


def _to_node(self, tag, name, connector):
    if self._bound.get(tag) and not self._writing:
        setattr(self, name, connector.read())


def _to_gui(self, tag):
    if self._writing:
        return
    self._writing = True
    try:
        for name, connector in self._bound.get(tag, {}).items():
            connector.write(getattr(self, name))
    finally:
        self._writing = False


def _disconnect_gui(self, tag):
    if tag in self._bound:
        self._bound[tag] = {}
