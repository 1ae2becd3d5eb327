"""Stand-in for `slicer.parameterNodeWrapper`: node, bool and enum parameters on a real MRML node.

It binds only the widget types that the real one binds to these parameters, and refuses the rest.
It does not prove how the real one stores values: it stores them in its own way.
"""

from __future__ import annotations

import enum
import typing

PROPERTY = "SlicerParameterName"


def parameterNodeWrapper(kind):  # noqa: N802
    """Class decorator: annotated attributes become parameters of the wrapped node."""
    hints = typing.get_type_hints(kind)
    for name, hint in hints.items():
        default = getattr(kind, name, None)
        setattr(kind, name, property(_reader(name, hint, default), _writer(name, hint)))
    kind._hints = hints
    kind.__init__ = _init
    kind.connectGui, kind.disconnectGui = _connect_gui, _disconnect_gui
    kind.AddObserver = lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(
        event, callback, priority
    )
    kind.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    return kind


def _init(self, node):
    self.parameterNode = node
    self._bound = {}


def _is_node(hint):
    return hasattr(hint, "GetNodeTagName")


def _reader(name, hint, default):
    def read(self):
        if _is_node(hint):
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        if not text:
            return default
        return hint[text] if issubclass(hint, enum.Enum) else text == "True"

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
        else:
            self.parameterNode.SetParameter(name, value.name if issubclass(hint, enum.Enum) else str(value))

    return write


class _Connector:
    """Reads and writes one widget; signals by the names that the real connectors use."""

    def __init__(self, widget, hint):
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
        elif class_name == "qMRMLNodeComboBox" and _is_node(hint):
            self.signal = "currentNodeChanged(vtkMRMLNode*)"
            widget.nodeTypes = [hint.__name__]
            self.read, self.write = widget.currentNode, widget.setCurrentNode
        else:
            msg = f"Unable to connect a {class_name} to a parameter of type {hint}"
            raise RuntimeError(msg)


def _connect_gui(self, ui):
    connectors = {}
    for widget in vars(ui).values():
        name = widget.property(PROPERTY) if hasattr(widget, "property") else None
        if name:
            if name not in self._hints:
                msg = f"Cannot find a param with the given name: {name}"
                raise ValueError(msg)
            connectors[name] = _Connector(widget, self._hints[name])
    tag = len(self._bound)
    self._bound[tag] = connectors
    for name, connector in connectors.items():
        connector.write(getattr(self, name))
        connector.widget.connect(connector.signal, lambda *_, n=name, c=connector: _to_node(self, tag, n, c))
    self.parameterNode.AddObserver("ModifiedEvent", lambda *_: _to_gui(self, tag))
    return tag


def _to_node(self, tag, name, connector):
    if tag in self._bound:
        setattr(self, name, connector.read())


def _to_gui(self, tag):
    for name, connector in self._bound.get(tag, {}).items():
        connector.write(getattr(self, name))


def _disconnect_gui(self, tag):
    self._bound.pop(tag, None)
