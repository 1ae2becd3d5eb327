"""Draws the pictures of README and tutorial, all of the program's own phantoms: no patient data.

The panel is the module's own, with its .ui files, drawn by the stand-ins that the tests use for Slicer's
widgets: words and places are those of the application, colours and fonts are not. Slices, surfaces and
the curve are of the MRML nodes that the panel made, drawn with VTK and matplotlib.

    pip install '.[test]'
    python Resources/make_screenshots.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("DicomAnalysis", "Testing/Python", "Testing/Data")]

from DicomAnalysisLib.mrml import node_to_volume, segmentation_node_to_masks  # noqa: E402
from DicomAnalysisLib.phantom import make_body_phantom, make_head_phantom, write_dicom_series  # noqa: E402
from DicomAnalysisLib.reporting.planes import acquired_view  # noqa: E402
from DicomAnalysisLib.reporting.plots import plot_slice_maximum  # noqa: E402
from DicomAnalysisLib.segments import KINDS  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402
from standins import FolderDatabase, application  # noqa: E402
from training_cases import write_cohort  # noqa: E402

SCREENSHOTS = ROOT / "Resources" / "Screenshots"
ICONS = ROOT / "DicomAnalysis" / "Resources" / "Icons"
SLICE = 12
"""Of the head phantom: teeth with a filling, and the holder."""

TILE = 440
BACKGROUND = (16, 17, 20)


def main() -> None:
    """Draw everything."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    draw_thumbnails()
    with application() as slicer_app, tempfile.TemporaryDirectory() as folder:
        draw_segment_page(slicer_app)
        draw_train_page(slicer_app, Path(folder))
        draw_database_page(slicer_app, Path(folder))


def draw_thumbnails() -> None:
    """The buttons of the module Sample Data."""
    for name, phantom, k in (
        ("HeadPhantom", make_head_phantom(), SLICE),
        ("BodyPhantom", make_body_phantom(metal=True), 25),
    ):
        picture = slice_picture(phantom.volume, k, {}, 240)
        picture.save(ICONS / f"{name}.png")


def draw_segment_page(slicer_app: object) -> None:
    """Page *Segment* after both were segmented, and what is in the views then."""
    logic = _logic(slicer_app)
    node = logic.loadPhantom("head")
    panel = slicer_app.widget()
    panel.enter()
    panel.ui.segmentBothButton.click()
    while panel.tasks.title:
        slicer_app.app.processEvents()
    grab(slicer_app, panel, "panel-segment.png", 430, 430)
    made = panel.logic.results(node)
    masks = segmentation_node_to_masks(made.segmentationNode, node)
    volume, cleaned = node_to_volume(node), node_to_volume(made.cleanedVolumeNode)
    tiles = (
        ("Original with segments", slice_picture(volume, SLICE, masks, TILE)),
        ("Compare: the cleaned volume", slice_picture(cleaned, SLICE, {}, TILE)),
        ("Show in 3-D", surface_picture(made.segmentationNode, cleaned, TILE)),
    )
    plot = plot_picture(panel.logic.volumeInformation(node))
    montage(tiles, ("Show plot", plot)).save(SCREENSHOTS / "views.png")


def draw_database_page(slicer_app: object, folder: Path) -> None:
    """Page *DICOM database* while a batch runs, on series of phantoms."""
    import slicer

    for number in range(6):
        make = make_head_phantom if number % 2 else make_body_phantom
        volume = make((16, 64, 64), (9.4, 3.6, 3.6) if number % 2 else (18.0, 7.6, 7.6), seed=number).volume
        write_dicom_series(volume, folder / "dicom" / str(number), series_number=number + 2)
    slicer.dicomDatabase = FolderDatabase(folder / "dicom")
    panel = slicer_app.widget()
    panel.ui.pageTabs.currentIndex = 1
    panel.ui.outputLineEdit.text = "/home/me/results"
    panel.ui.checkShownButton.click()
    panel.parameters = panel.logic.getParameterNode()
    panel.parameters.outputFolder = str(folder / "results")
    panel.ui.batchBothButton.click()
    while "2 done" not in panel.ui.batchLabel.text:
        slicer_app.app.processEvents()
    panel.ui.outputLineEdit.qobject.blockSignals(True)
    panel.ui.outputLineEdit.text = "/home/me/results"
    grab(slicer_app, panel, "panel-database.png", 760, 620)
    panel.ui.outputLineEdit.qobject.blockSignals(False)
    panel.tasks.close()


def draw_train_page(slicer_app: object, folder: Path) -> None:
    """Page *Train* after a small training on phantoms, and the curves that it drew."""
    from DicomAnalysisPanels.parameters import TrainSize, TrainSource

    write_cohort(folder / "cohort")
    panel = slicer_app.widget()
    panel.ui.pageTabs.currentIndex = 2
    panel.parameters = panel.logic.getParameterNode()
    panel.parameters.trainSource = TrainSource.FOLDER
    panel.parameters.trainFolder = str(folder / "cohort")
    panel.parameters.trainOutput = str(folder / "model")
    panel.parameters.trainSize = TrainSize.SMALL
    panel.parameters.trainEpochs = 8
    panel.ui.trainButton.click()
    while panel.tasks.title:
        slicer_app.app.processEvents()
    for line, text in ((panel.ui.trainFolderLineEdit, "cohort"), (panel.ui.trainOutputLineEdit, "headrest-model")):
        line.qobject.blockSignals(True)
        line.text = f"/home/me/{text}"
    grab(slicer_app, panel, "panel-train.png", 430, 640)
    shutil.copy(folder / "model" / "curves.png", SCREENSHOTS / "training-curves.png")
    panel.tasks.close()


def _logic(slicer_app: object) -> object:
    slicer_app.widget()
    from DicomAnalysis import DicomAnalysisLogic

    return DicomAnalysisLogic()


def grab(slicer_app: object, panel: object, name: str, width: int, height: int) -> None:
    """The panel as a picture, without its margins."""
    window = panel.parent.qobject
    window.layout().setContentsMargins(4, 4, 4, 4)
    window.resize(width, height)
    window.show()
    for _ in range(3):
        slicer_app.app.processEvents()
    window.grab().save(str(SCREENSHOTS / name))


def slice_picture(volume: object, k: int, masks: dict[str, np.ndarray], size: int) -> Image.Image:
    """One slice in a soft tissue window, with segments in their colours, square pixels."""
    view = acquired_view(volume, k, [(KINDS[name], mask) for name, mask in masks.items()])
    grey = np.clip((view.image + 500) / 1300, 0, 1)[..., None] * 255
    color = np.repeat(grey, 3, axis=2)
    for kind, mask in view.masks:
        color[mask] = 0.55 * color[mask] + 0.45 * 255 * np.array(kind.color)
    picture = Image.fromarray(color.astype(np.uint8))
    return picture.resize((size, size * picture.height // picture.width), Image.Resampling.BICUBIC)


def surface_picture(segmentation_node: object, volume: object, size: int) -> Image.Image:
    """The segments' surfaces, and the skin in the cleaned volume half transparent, seen from the left front."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    segmentation_node.CreateClosedSurfaceRepresentation()
    renderer = vtk.vtkRenderer()
    renderer.SetBackground(*(value / 255 for value in BACKGROUND))
    segmentation = segmentation_node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        renderer.AddActor(_actor(segment.GetRepresentation("Closed surface"), segment.GetColor(), 1.0))
    masks = segmentation_node_to_masks(
        segmentation_node, segmentation_node.GetNodeReference("referenceImageGeometryRef")
    )
    voxels = np.where(masks["Headrest"], -1000, volume.voxels).astype(np.float32)
    image = vtk.vtkImageData()
    image.SetDimensions(voxels.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, -350)
    place = vtk.vtkTransform()
    place.SetMatrix(volume.geometry.ijk_to_ras.ravel().tolist())
    world = vtk.vtkTransformPolyDataFilter()
    world.SetTransform(place)
    world.SetInputConnection(contour.GetOutputPort())
    world.Update()
    renderer.AddActor(_actor(world.GetOutput(), (0.85, 0.70, 0.60), 0.35))
    camera = renderer.GetActiveCamera()
    camera.SetPosition(0.75, 1.0, 0.35)
    camera.SetViewUp(0, 0, 1)
    renderer.ResetCamera()
    camera.Zoom(1.35)
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(0)
    window.SetSize(size, size)
    window.AddRenderer(renderer)
    window.Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.Update()
    pixels = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars()).reshape(size, size, -1)[::-1, :, :3]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _actor(surface: object, color: tuple[float, float, float], opacity: float) -> object:
    import vtk

    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(surface)
    mapper.ScalarVisibilityOff()
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*color)
    actor.GetProperty().SetOpacity(opacity)
    return actor


def plot_picture(description: dict[str, object]) -> Image.Image:
    """The largest value of every slice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plot.png"
        plot_slice_maximum(description, path)
        return Image.open(path).convert("RGB")


def montage(tiles: tuple[tuple[str, Image.Image], ...], below: tuple[str, Image.Image]) -> Image.Image:
    """Pictures side by side, and one below them, each with its title."""
    gap, title = 8, 26
    width = len(tiles) * (TILE + gap) + gap
    picture = Image.new("RGB", (width, TILE + 2 * title + 3 * gap + below[1].height), BACKGROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    places = [(gap + index * (TILE + gap), gap) for index in range(len(tiles))]
    places.append(((width - below[1].width) // 2, TILE + title + 2 * gap))
    for (text, tile), (left, top) in zip((*tiles, below), places, strict=True):
        draw.text((left, top), text, fill=(232, 234, 237), font=font)
        picture.paste(tile, (left, top + title))
    return picture


if __name__ == "__main__":
    main()
