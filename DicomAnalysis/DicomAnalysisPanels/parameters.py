"""The choices of the panel, kept in the scene and bound to widgets by name."""

import enum
from types import SimpleNamespace
from typing import Annotated

from slicer import vtkMRMLMarkupsNode, vtkMRMLScalarVolumeNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

DERIVED = 0.0
"""Value of the metal threshold that stands for: derived from each series."""


class MetalRegion(enum.Enum):
    """Which metal is kept; the values are those of the library's options."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    ALL = "all"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("In the patient or at the skin"), _("Outside the patient"), _("Everywhere"))
        return labels[list(MetalRegion).index(self)]


class RunPlace(enum.Enum):
    """Where a task on a loaded volume runs."""

    AUTO = "auto"
    BESIDE = "beside"
    INSIDE = "inside"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Automatic"), _("Always beside Slicer"), _("Always inside Slicer"))
        return labels[list(RunPlace).index(self)]


class Method(enum.Enum):
    """How segments are found; the values are those of the library's options."""

    AUTO = "auto"
    CLASSICAL = "classical"
    NETWORK = "network"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Automatic"), _("Classical"), _("Neural network"))
        return labels[list(Method).index(self)]


class TrainSource(enum.Enum):
    """Where the series of a training come from."""

    CHECKED = "checked"
    FOLDER = "folder"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Series checked in DICOM database"), _("A folder"))
        return labels[list(TrainSource).index(self)]


class TrainTask(enum.Enum):
    """What the network is to find; the values are those of the library's options."""

    HEADREST = "headrest"
    METAL = "metal"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Headrest"), _("Metal"))
        return labels[list(TrainTask).index(self)]


class TrainLabels(enum.Enum):
    """What a network learns from; the values are those of the logic."""

    CLASSICAL = "classical"
    OWN = "own"
    BOTH = "both"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Automatic segmentation"), _("My segmentations in the scene"), _("Mine, automatic elsewhere"))
        return labels[list(TrainLabels).index(self)]


class TrainSize(enum.Enum):
    """How much is computed; the values are those of the library's options."""

    STANDARD = "standard"
    SMALL = "small"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Standard"), _("Small: a first look"))
        return labels[list(TrainSize).index(self)]


class ClassifierNetwork(enum.Enum):
    """Which network learns to classify; the values are those of the library's options."""

    DENSENET = "volume3d/densenet121"
    RESNET_3D = "volume3d/resnet18"
    SMALL_3D = "volume3d/small3d"
    VGG = "slices/vgg16"
    RESNET = "slices/resnet50"
    SMALL_2D = "slices/small2d"
    VIEWS = "multiview/shared"
    EARLY = "multiview/early"

    def label(self) -> str:
        """What the list shows."""
        labels = (
            _("Volume: DenseNet121"),
            _("Volume: ResNet18"),
            _("Volume: small baseline"),
            _("Slices: VGG-16"),
            _("Slices: ResNet50"),
            _("Slices: small"),
            _("Views: one encoder for all"),
            _("Views: as channels (baseline)"),
        )
        return labels[list(ClassifierNetwork).index(self)]


class AgreementSource(enum.Enum):
    """What is compared on the page *Agreement*."""

    TABLE = "table"
    FILE = "file"
    FOLDERS = "folders"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Columns of a table in the scene"), _("Columns of a CSV file"), _("Folders of segmentations"))
        return labels[list(AgreementSource).index(self)]


class AgreementFit(enum.Enum):
    """What is fitted to points; the values are those of the logic."""

    CIRCLE = "circle"
    SPHERE = "sphere"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Circle"), _("Sphere"))
        return labels[list(AgreementFit).index(self)]


class CohortMethod(enum.Enum):
    """How clusters are found; the values are those of the library's options."""

    DENSITY = "density"
    KMEANS = "kmeans"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("By density (UMAP, HDBSCAN)"), _("k-means"))
        return labels[list(CohortMethod).index(self)]


@parameterNodeWrapper
class DicomAnalysisParameterNode:
    """Choices of all pages, by the names that the .ui files give their widgets (`SlicerParameterName`)."""

    inputVolume: vtkMRMLScalarVolumeNode  # noqa: N815 (Slicer's style for parameters)
    metalRegion: MetalRegion = MetalRegion.INSIDE  # noqa: N815
    metalThreshold: Annotated[float, WithinRange(0.0, 30000.0)] = DERIVED  # noqa: N815
    createCleanedVolume: bool = True  # noqa: N815
    seriesFilter: str = ""  # noqa: N815
    onlyCT: bool = True  # noqa: N815
    hideDone: bool = False  # noqa: N815
    outputFolder: str = ""  # noqa: N815
    runPlace: RunPlace = RunPlace.AUTO  # noqa: N815
    method: Method = Method.AUTO
    ownNetwork: str = ""  # noqa: N815
    trainSource: TrainSource = TrainSource.CHECKED  # noqa: N815
    trainFolder: str = ""  # noqa: N815
    trainTask: TrainTask = TrainTask.HEADREST  # noqa: N815
    trainLabels: TrainLabels = TrainLabels.CLASSICAL  # noqa: N815
    trainSize: TrainSize = TrainSize.STANDARD  # noqa: N815
    trainEpochs: Annotated[int, WithinRange(1, 1000)] = 40  # noqa: N815
    trainOutput: str = ""  # noqa: N815
    classifyVolume: vtkMRMLScalarVolumeNode  # noqa: N815
    classifyModel: str = ""  # noqa: N815 (a folder, or the name of a model that is shipped)
    classifyExplain: bool = True  # noqa: N815
    classifyOutput: str = ""  # noqa: N815
    classifierSource: TrainSource = TrainSource.CHECKED  # noqa: N815
    classifierFolder: str = ""  # noqa: N815
    classifierTable: vtkMRMLTableNode  # noqa: N815
    classifierLabels: str = ""  # noqa: N815
    classifierNetwork: ClassifierNetwork = ClassifierNetwork.DENSENET  # noqa: N815
    classifierSize: TrainSize = TrainSize.SMALL  # noqa: N815
    classifierEpochs: Annotated[int, WithinRange(1, 1000)] = 30  # noqa: N815
    classifierOutput: str = ""  # noqa: N815
    agreementSource: AgreementSource = AgreementSource.TABLE  # noqa: N815
    agreementTable: vtkMRMLTableNode  # noqa: N815
    agreementFirst: str = ""  # noqa: N815
    agreementSecond: str = ""  # noqa: N815
    agreementLog: bool = False  # noqa: N815
    agreementAcceptable: Annotated[float, WithinRange(0.0, 1000000.0)] = 0.0  # noqa: N815
    agreementMarkups: vtkMRMLMarkupsNode  # noqa: N815
    agreementFit: AgreementFit = AgreementFit.CIRCLE  # noqa: N815
    agreementRater: str = "Reader 1"  # noqa: N815
    agreementCase: str = ""  # noqa: N815
    agreementOutput: str = ""  # noqa: N815
    cohortSource: TrainSource = TrainSource.CHECKED  # noqa: N815
    cohortFolder: str = ""  # noqa: N815
    cohortOutput: str = ""  # noqa: N815
    cohortRetry: bool = False  # noqa: N815
    cohortLabels: str = ""  # noqa: N815
    cohortTarget: str = ""  # noqa: N815
    cohortMethod: CohortMethod = CohortMethod.DENSITY  # noqa: N815


def bind(parameters: DicomAnalysisParameterNode, ui: SimpleNamespace) -> int:
    """Let widgets and parameters of the same name follow each other; returns the tag for `disconnectGui`.

    What `connectGui(ui)` does, but with its tag: `connectGui` returns none up to Slicer 5.13 (its issue
    7547), so that the widgets would go on writing to the choices of a scene that was closed.
    """
    named = {}
    for widget in vars(ui).values():
        name = widget.property("SlicerParameterName")
        if name:
            named[name] = widget
    return parameters.connectParametersToGui(named)


def threshold_hu(parameters: DicomAnalysisParameterNode) -> "float | None":
    """The metal threshold that a user set, or None where it is to be derived."""
    return parameters.metalThreshold if parameters.metalThreshold > DERIVED else None


def own_networks(parameters: DicomAnalysisParameterNode) -> tuple[str, ...]:
    """Folders of models that a user chose for the page *Segment*."""
    return tuple(one.strip() for one in parameters.ownNetwork.split(";") if one.strip())
