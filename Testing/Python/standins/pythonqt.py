"""PythonQt's habits on PySide6 objects: properties as attributes, signals by signature.

An attribute, property or signal that the record of the real application does not list raises,
also where PySide6 has it. It does not prove how PythonQt converts arguments and values.
"""

from __future__ import annotations

import inspect

import shiboken6
from PySide6 import QtCore, QtUiTools

_ALWAYS = {"name", "findChildren", "className", "isWidgetType"}  # there in Slicer, not in dir()


class Proxy:
    """A Qt object as PythonQt shows it."""

    golden: dict = {}  # noqa: RUF012 (set once for all proxies)
    _known: dict = {}  # noqa: RUF012

    def __init__(self, qobject):
        object.__setattr__(self, "qobject", qobject)

    def __getattr__(self, name):
        qobject = self.qobject
        if name == "name":
            return qobject.objectName()
        record = self._record()
        if record and name not in _ALWAYS and name not in record["python_attributes"]:
            msg = f"A real {self.className()} has no attribute {name!r}"
            raise AttributeError(msg)
        if qobject.metaObject().indexOfProperty(name) >= 0:
            return wrap(qobject.property(name))
        value = getattr(qobject, name)
        return (lambda *args: wrap(value(*map(unwrap, args)))) if callable(value) else value

    def __setattr__(self, name, value):
        record = self._record()
        if record and not record["properties"].get(name, {}).get("writable"):
            msg = f"A real {self.className()} has no property {name!r} that can be set"
            raise AttributeError(msg)
        if not self.qobject.setProperty(name, unwrap(value)):
            msg = f"{self.className()} has no property {name!r}"
            raise AttributeError(msg)

    def __bool__(self):
        return True

    def _record(self):
        return self.golden.get(self.className())

    def className(self):  # noqa: N802
        return self.qobject.metaObject().className()

    def connect(self, signature, slot):
        record = self._record()
        if record and signature not in record["signals"]:
            msg = f"A real {self.className()} has no signal {signature!r}"
            raise ValueError(msg)
        name, arguments = signature.rstrip(")").split("(")
        sent = len(arguments.split(",")) if arguments else 0
        taken = min(sent, _accepted(slot, sent))
        getattr(self.qobject, name).connect(_with_arguments(sent, lambda *values: slot(*map(wrap, values[:taken]))))

    def findChildren(self, _kind=None):  # noqa: N802
        return [wrap(child) for child in self.qobject.findChildren(QtCore.QObject)]


def _with_arguments(count, function):
    """A function of so many arguments: PySide sends a signal's optional ones to no other."""
    forms = (
        lambda: function(),
        lambda a: function(a),
        lambda a, b: function(a, b),
        lambda a, b, c: function(a, b, c),
        lambda a, b, c, d: function(a, b, c, d),
    )
    return forms[count]


def _accepted(slot, sent):
    """How many arguments PythonQt hands to a slot.

    Functions and methods get as many as they have positional parameters, those with defaults
    included; a function with ``*args``, a partial or any other callable gets all.
    """
    function = slot.__func__ if inspect.ismethod(slot) else slot
    if not inspect.isfunction(function) or function.__code__.co_flags & inspect.CO_VARARGS:
        return sent
    return function.__code__.co_argcount - inspect.ismethod(slot)


def new_timer():
    """`qt.QTimer()`."""
    return Proxy(QtCore.QTimer())


def wrap(value):
    """A Qt object as `Proxy`, always the same one for the same object; all else as it is."""
    if isinstance(value, QtCore.QObject):
        pointer = shiboken6.getCppPointer(value)[0]
        known = Proxy._known.get(pointer)
        if known is None or known.qobject is not value:
            known = Proxy._known[pointer] = Proxy(value)
        return known
    return [wrap(item) for item in value] if isinstance(value, list) else value


def unwrap(value):
    return value.qobject if isinstance(value, Proxy) else value


class UiLoader(QtUiTools.QUiLoader):
    """`qt.QUiLoader`: knows the custom widgets and holds properties of the .ui file to the record."""

    def __init__(self):
        from . import widgets

        super().__init__()
        for kind in (widgets.qMRMLWidget, widgets.qMRMLNodeComboBox, widgets.ctkCollapsibleButton):
            self.registerCustomWidget(kind)

    def load(self, file):
        from xml.etree import ElementTree as ET

        tree = ET.parse(file.fileName())
        for widget in tree.iter("widget"):
            record = Proxy.golden.get(widget.get("class"))
            names = [p.get("name") for p in widget.findall("property") if p.get("stdset") is None]
            wrong = [name for name in names if record and name not in record["properties"]]
            if wrong:
                msg = f"A real {widget.get('class')} has no property {wrong[0]!r} (widget {widget.get('name')!r})"
                raise AttributeError(msg)
        # Signals with MRML types are unknown to Qt here: the one kind that .ui files need is joined by hand.
        connections = tree.findall("connections/connection")
        tree.getroot().remove(tree.find("connections"))
        content = QtCore.QBuffer()
        content.setData(ET.tostring(tree.getroot()))
        root = super().load(content)
        for connection in connections:
            sender, receiver = connection.findtext("sender"), connection.findtext("receiver")
            for owner, kind, member in ((sender, "signals", "signal"), (receiver, "slots", "slot")):
                found = root if owner == root.objectName() else root.findChild(QtCore.QObject, owner)
                record = Proxy.golden.get(found.metaObject().className())
                if record and connection.findtext(member) not in record[kind]:
                    msg = f"{owner} has no {member} {connection.findtext(member)!r}"
                    raise ValueError(msg)
            root.mrmlSceneChanged.connect(root.findChild(QtCore.QObject, receiver).setMRMLScene)
        return wrap(root)
