"""What the user sees change in the application's views."""

from __future__ import annotations

import slicer


def show_volume(volume_node: slicer.vtkMRMLScalarVolumeNode, fit: bool = False) -> None:
    """Put a volume behind everything else in the slice views."""
    slicer.util.setSliceViewerLayers(background=volume_node, fit=fit)


def show_table(table_node: slicer.vtkMRMLTableNode) -> None:
    """Open a table view beside the others and show the table in it."""
    layout_manager = slicer.app.layoutManager()
    if layout_manager is not None:
        layout = slicer.modules.tables.logic().GetLayoutWithTable(layout_manager.layout)
        layout_manager.setLayout(layout)
    application_logic = slicer.app.applicationLogic()
    application_logic.GetSelectionNode().SetActiveTableID(table_node.GetID())
    application_logic.PropagateTableSelection()


def show_in_3d(segmentation_node: slicer.vtkMRMLSegmentationNode, shown: bool) -> None:
    """Make the surfaces of a segmentation and show them in the 3-D views, or take them away."""
    if shown:
        segmentation_node.CreateClosedSurfaceRepresentation()
        segmentation_node.GetDisplayNode().SetVisibility3D(True)
        if slicer.app.layoutManager() is not None:
            slicer.util.resetThreeDViews()
    else:
        segmentation_node.RemoveClosedSurfaceRepresentation()


def is_in_3d(segmentation_node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether a segmentation has surfaces."""
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    return segmentation_node.GetSegmentation().ContainsRepresentation(name)
