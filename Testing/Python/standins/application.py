"""Stand-in for the running application: `slicer.app`, `slicer.modules` and the module base classes.

It does not prove how the application loads modules or draws views.
"""

from __future__ import annotations

import ctypes
import os
import sys
import unittest
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

MODULE_FOLDER = Path(__file__).resolve().parents[3] / "DicomAnalysis"


@contextmanager
def application(golden=None):
    """A scene, an application object and the modules that the face imports, for as long as the context lasts.

    Parameters
    ----------
    golden : dict, optional
        Record of what the real widgets have (`widgets.json`); without it nothing is held to it.

    Yields
    ------
    namespace
        ``scene``, ``app`` and ``widget()``, which opens the module's panel.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    _make_none_last()
    import slicer
    from PySide6 import QtWidgets

    from . import parameters, pythonqt

    pythonqt.Proxy.golden = golden or {}
    qt_application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    tables, plots = slicer.vtkSlicerTablesLogic(), slicer.vtkSlicerPlotsLogic()
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()  # brings the rules that make surfaces
    for module_logic in (tables, plots, segmentations):
        module_logic.SetMRMLScene(scene)
    app = App(qt_application, logic)
    replaced = {
        "qt": _module(
            "qt",
            QDesktopServices=Desktop,
            QFile=_qfile(),
            QFileDialog=FileDialog,
            QPixmap=_gui().QPixmap,
            QTableWidgetItem=QtWidgets.QTableWidgetItem,
            QTimer=pythonqt.new_timer,
            QUiLoader=pythonqt.UiLoader,
            QUrl=_qt().QUrl,
            QDialog=QtWidgets.QDialog,
            QTextBrowser=QtWidgets.QTextBrowser,
            QVBoxLayout=QtWidgets.QVBoxLayout,
            QWidget=QtWidgets.QWidget,
            Qt=_qt().Qt,
        ),
        "ctk": _module("ctk"),
        "slicer.ScriptedLoadableModule": _base_classes(),
        "slicer.parameterNodeWrapper": _module(
            "wrapper", parameterNodeWrapper=parameters.parameterNodeWrapper, WithinRange=parameters.WithinRange
        ),
        "SampleData": _module("SampleData", SampleDataLogic=SampleDataLogic),
        "slicer.i18n": _module("i18n", tr=lambda text: text, translate=lambda _context, text: text),
    }
    attributes = {
        "mrmlScene": scene,
        "app": app,
        "modules": SimpleNamespace(
            tables=SimpleNamespace(logic=lambda: tables), plots=SimpleNamespace(logic=lambda: plots)
        ),
        "qSlicerScriptedLoadableModuleWidget": Representation,
        "dicomDatabase": None,
    }
    saved = {name: sys.modules.get(name) for name in replaced}
    saved_attributes = {name: getattr(slicer, name, None) for name in attributes}
    sys.modules.update(replaced)
    for name, value in attributes.items():
        setattr(slicer, name, value)
    try:
        yield SimpleNamespace(scene=scene, app=app, widget=lambda: slicer.util.getModuleWidget("DicomAnalysis"))
    finally:
        app.close()
        SampleDataLogic.sources.clear()
        Desktop.opened.clear()
        scene.Clear(True)
        for name, module in saved.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
        for name, value in saved_attributes.items():
            delattr(slicer, name) if value is None else setattr(slicer, name, value)
        for name in [name for name in sys.modules if name.split(".")[0] in ("DicomAnalysis", "DicomAnalysisPanels")]:
            del sys.modules[name]


def _make_none_last():
    """Keep Python 3.11 alive under PySide6 6.12.

    Every call of it that gives None takes away a reference that it has not: it counts on the None of
    Python 3.12 and newer, which is never counted. Some thousand calls end an older Python.
    """
    if sys.version_info < (3, 12):
        count = ctypes.c_ssize_t.from_address(id(None))
        count.value = max(count.value, 1 << 40)


class App:
    """What the panel and `slicer.util` ask of `slicer.app`."""

    applicationName = "Slicer"  # noqa: N815
    applicationVersion = "5.13.0"  # noqa: N815

    def __init__(self, qt_application, logic):
        self._qt, self._logic = qt_application, logic
        self._layouts = SimpleNamespace(
            layout=3,
            setLayout=self._set_layout,
            mrmlSliceLogics=lambda: SimpleNamespace(GetNumberOfItems=lambda: 0),
            resetThreeDViews=lambda: None,
            plotViewCount=1,
            plotWidget=lambda _number: SimpleNamespace(plotView=lambda: self.plot_view),
            tableViewCount=1,
            tableWidget=lambda _number: SimpleNamespace(tableView=lambda: self.table_view),
        )
        self.plot_view, self.table_view = View(self), View(self)
        self._representation = None
        self.cursors = 0
        self.at_startup = []

    def _set_layout(self, layout):
        self._layouts.layout = layout

    def connect(self, signal, slot):
        if signal != "startupCompleted()":
            raise ValueError(signal)
        self.at_startup.append(slot)

    def topLevelWidgets(self):  # noqa: N802
        return []

    def testingEnabled(self):  # noqa: N802
        return True

    def processEvents(self):  # noqa: N802
        self._qt.processEvents()

    def setOverrideCursor(self, _shape):  # noqa: N802
        self.cursors += 1

    def restoreOverrideCursor(self):  # noqa: N802
        self.cursors -= 1

    def layoutManager(self):  # noqa: N802
        return self._layouts

    def applicationLogic(self):  # noqa: N802
        return self._logic

    def moduleManager(self):  # noqa: N802
        return self

    def module(self, _name):
        if self._representation is None:
            from DicomAnalysis import DicomAnalysisWidget

            self._representation = Representation(DicomAnalysisWidget())
        return SimpleNamespace(name="DicomAnalysis", widgetRepresentation=lambda: self._representation)

    def close(self):
        if self._representation is not None:
            self._representation.self().cleanup()
            self._representation.self().parent.qobject.deleteLater()
            self._qt.processEvents()


class View:
    """`qMRMLPlotView` and `qMRMLTableView`: they draw nothing, and tell what a test chooses in them."""

    def __init__(self, app):
        import slicer

        self._app, self._slots = app, {}
        self._plot_view_node, self._chart = slicer.vtkMRMLPlotViewNode(), None

    def connect(self, signal, slot):
        if signal not in ("dataSelected(vtkStringArray*,vtkCollection*)", "doubleClicked(QModelIndex)"):
            raise ValueError(signal)
        self._slots.setdefault(signal.partition("(")[0], []).append(slot)

    def tell(self, signal, *arguments):
        for slot in self._slots.get(signal, []):
            slot(*arguments)

    def chart(self):
        """The points of the chart that is selected, as the real view draws them."""
        logic = self._app.applicationLogic()
        node = logic.GetMRMLScene().GetNodeByID(logic.GetSelectionNode().GetActivePlotChartID())
        if self._chart is None or self._chart[0] is not node:
            self._chart = (node, chart_of(node))
        return self._chart[1]

    def mrmlPlotViewNode(self):  # noqa: N802
        return self._plot_view_node

    def mrmlTableNode(self):  # noqa: N802
        logic = self._app.applicationLogic()
        return logic.GetMRMLScene().GetNodeByID(logic.GetSelectionNode().GetActiveTableID())


def chart_of(chart_node):
    """A VTK chart with a plot of points for each plot series."""
    import vtk

    chart = vtk.vtkChartXY()
    for number in range(chart_node.GetNumberOfPlotSeriesNodes()):
        series, plot = chart_node.GetNthPlotSeriesNode(number), vtk.vtkPlotPoints()
        plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
        chart.AddPlot(plot)
    return chart


class Representation:
    """`qSlicerScriptedLoadableModuleWidget`: hands out the Python widget."""

    def __init__(self, widget):
        self._widget = widget

    def self(self):
        return self._widget


class FileDialog:
    """`qt.QFileDialog`: a test says what the user chooses."""

    chosen = ""

    @classmethod
    def getExistingDirectory(cls, _parent, _caption, _folder):  # noqa: N802
        return cls.chosen

    @classmethod
    def getOpenFileName(cls, _parent, _caption, _folder, _filter):  # noqa: N802
        return cls.chosen

    @classmethod
    def getSaveFileName(cls, _parent, _caption, _name, _filter):  # noqa: N802
        return cls.chosen  # PythonQt gives the name alone


class Desktop:
    """`qt.QDesktopServices`: keeps what it was to open."""

    opened = []  # noqa: RUF012

    @classmethod
    def openUrl(cls, url):  # noqa: N802
        cls.opened.append(url.toLocalFile())
        return True


class SampleDataLogic:
    """`SampleData.SampleDataLogic`: keeps what is registered; offers no buttons and downloads nothing."""

    sources = {}  # noqa: RUF012

    @classmethod
    def registerCustomSampleDataSource(cls, category, **source):  # noqa: N802
        needed = {"sampleName", "uris", "fileNames", "nodeNames", "customDownloader", "thumbnailFileName"}
        if set(source) != needed or not isinstance(source["uris"], str):
            raise TypeError(source)
        cls.sources.setdefault(category, []).append(SimpleNamespace(**source))

    @classmethod
    def sampleDataSourcesByCategory(cls, category):  # noqa: N802
        return cls.sources.get(category, [])


def _base_classes():
    class ScriptedLoadableModule:
        def __init__(self, parent):
            self.parent = parent

    class ScriptedLoadableModuleWidget:
        def __init__(self, parent=None):
            from PySide6 import QtWidgets

            from .pythonqt import wrap
            from .widgets import qMRMLWidget

            super().__init__()
            widget = qMRMLWidget()
            layout = QtWidgets.QVBoxLayout(widget)
            self.parent = wrap(widget)
            self.layout = wrap(layout)
            self.setup()

        def setup(self):
            pass

        def resourcePath(self, name):  # noqa: N802
            return str(MODULE_FOLDER / "Resources" / name)

    class ScriptedLoadableModuleLogic:
        def __init__(self, parent=None):
            pass

        def getParameterNode(self):  # noqa: N802
            import slicer

            node = slicer.mrmlScene.GetSingletonNode("DicomAnalysis", "vtkMRMLScriptedModuleNode")
            if node is None:
                node = slicer.vtkMRMLScriptedModuleNode()
                node.SetSingletonTag("DicomAnalysis")
                node = slicer.mrmlScene.AddNode(node)
            return node

    class ScriptedLoadableModuleTest(unittest.TestCase):
        pass

    kinds = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    return _module("ScriptedLoadableModule", **{kind.__name__: kind for kind in kinds})


def _module(name, **content):
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(content)
    return module


def _gui():
    from PySide6 import QtGui

    return QtGui


def _qt():
    from PySide6 import QtCore

    return QtCore


def _qfile():
    class QFile(_qt().QFile):
        ReadOnly = _qt().QIODevice.OpenModeFlag.ReadOnly

    return QFile
