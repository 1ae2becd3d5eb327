"""Stand-ins for the ctk and qMRML widgets that the panel uses, on PySide6 and the real MRML scene.

They have the properties and signals that the panel needs, not the looks or the rest of the behaviour.
"""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

HEADER = 26


class qMRMLWidget(QtWidgets.QWidget):  # noqa: N801
    mrmlSceneChanged = QtCore.Signal(object)  # noqa: N815

    def setMRMLScene(self, scene):  # noqa: N802
        self.mrmlSceneChanged.emit(scene)


class ctkCollapsibleButton(QtWidgets.QAbstractButton):  # noqa: N801
    """A header; what is laid out inside is hidden while it is collapsed."""

    contentsCollapsed = QtCore.Signal(bool)  # noqa: N815

    def __init__(self, parent=None):
        super().__init__(parent)
        self._collapsed = False
        self.setSizePolicy(QtWidgets.QSizePolicy.Minimum, QtWidgets.QSizePolicy.Preferred)  # as the real one
        self.setContentsMargins(0, HEADER, 0, 0)
        self.clicked.connect(lambda: self._set_collapsed(not self._collapsed))

    def _set_collapsed(self, collapsed):
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            self.setMaximumHeight(HEADER if collapsed else 16777215)
            self._show_contents()
            self.contentsCollapsed.emit(collapsed)

    def _show_contents(self):
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            child.setVisible(not self._collapsed)
        self.updateGeometry()

    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _set_collapsed)

    def showEvent(self, event):  # noqa: N802
        self._show_contents()
        super().showEvent(event)

    def sizeHint(self):  # noqa: N802
        return QtCore.QSize(200, HEADER) if self._collapsed or self.layout() is None else self.layout().sizeHint()

    def paintEvent(self, _event):  # noqa: N802
        painter = QtGui.QPainter(self)
        bar = QtCore.QRect(0, 0, self.width(), HEADER - 4)
        painter.fillRect(bar, self.palette().button())
        mark = "\u25b8" if self._collapsed else "\u25be"
        painter.drawText(bar.adjusted(6, 0, 0, 0), QtCore.Qt.AlignVCenter, f"{mark} {self.text()}")


def _flag(kind, name):
    """A property that decides what a node selector lists."""

    def write(selector, value):
        selector._flags[name] = value
        if selector._scene is not None:
            selector._fill()

    return QtCore.Property(kind, lambda selector: selector._flags.get(name, True), write)


class qMRMLNodeComboBox(QtWidgets.QWidget):  # noqa: N801
    """Lists the nodes of a scene by class name."""

    currentNodeChanged = QtCore.Signal(object)  # noqa: N815

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._tags, self._ids = None, [], []
        self._flags = {"nodeTypes": [], "showChildNodeTypes": True, "noneEnabled": False, "noneDisplay": "None"}
        self._box = QtWidgets.QComboBox()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.currentIndexChanged.connect(lambda _: self.currentNodeChanged.emit(self.currentNode()))

    def setMRMLScene(self, scene):  # noqa: N802
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent) if scene else ()
        self._tags = [scene.AddObserver(event, lambda *_: self._fill()) for event in events]
        self._fill()

    def _fill(self):
        before = self._ids[self._box.currentIndex()] if self._ids and self._box.currentIndex() >= 0 else None
        nodes = []
        for kind in self._flags["nodeTypes"]:
            found = [self._scene.GetNthNodeByClass(n, kind) for n in range(self._scene.GetNumberOfNodesByClass(kind))]
            nodes += [n for n in found if n.GetClassName() == kind or self._flags["showChildNodeTypes"]]
        items = [(None, self._flags["noneDisplay"])] if self._flags["noneEnabled"] else []
        items += [(node.GetID(), node.GetName()) for node in nodes if not node.GetHideFromEditors()]
        self._ids = [node_id for node_id, _ in items]
        with QtCore.QSignalBlocker(self._box):
            self._box.clear()
            self._box.addItems([name for _, name in items])
            self._box.setCurrentIndex(self._ids.index(before) if before in self._ids else 0)
        if before not in self._ids:
            self.currentNodeChanged.emit(self.currentNode())

    def currentNode(self):  # noqa: N802
        index = self._box.currentIndex()
        node_id = self._ids[index] if 0 <= index < len(self._ids) else None
        return self._scene.GetNodeByID(node_id) if node_id else None

    def setCurrentNode(self, node):  # noqa: N802
        self._fill()
        self._box.setCurrentIndex(self._ids.index(node.GetID() if node is not None else None))

    nodeTypes = _flag("QStringList", "nodeTypes")  # noqa: N815
    showChildNodeTypes = _flag(bool, "showChildNodeTypes")  # noqa: N815
    noneEnabled = _flag(bool, "noneEnabled")  # noqa: N815
    noneDisplay = _flag(str, "noneDisplay")  # noqa: N815
    addEnabled = _flag(bool, "addEnabled")  # noqa: N815
    removeEnabled = _flag(bool, "removeEnabled")  # noqa: N815
