"""Results <-> MRML nodes: the same code in the Slicer application and under slicer-core.

Every function takes the scene, or nodes that are in one. Nothing below this package
knows Slicer or VTK; nothing in it knows Qt.

Examples
--------
>>> from DicomAnalysisLib.mrml import segment_node
>>> nodes = segment_node(scene, volume_node)  # doctest: +SKIP
>>> nodes.segmentation_node.GetSegmentation().GetNumberOfSegments()  # doctest: +SKIP
2
"""

from importlib import import_module

# What the panel asks while it only waits must not import scipy and pydicom: each name is fetched when it is used.
_HOMES = {
    "ClassificationNodes": "classification",
    "NodeGrid": "grid",
    "NodeResults": "results",
    "UndoPoint": "undo",
    "classification_table": "classification",
    "classification_to_nodes": "classification",
    "cleaned_volume_node": "volumes",
    "ct_series": "loading",
    "explanation_to_node": "classification",
    "find_classification": "classification",
    "find_curve": "curves",
    "find_results": "results",
    "grid_of_node": "grid",
    "load_files": "loading",
    "load_result": "result_files",
    "load_series": "loading",
    "model_card_node": "text",
    "model_card_to_text_node": "text",
    "node_to_volume": "volumes",
    "require_scalar_volume": "grid",
    "result_to_nodes": "task",
    "result_to_segmentation_node": "segmentations",
    "result_to_table_node": "tables",
    "segment_node": "task",
    "segmentation_node_to_masks": "segmentations",
    "series_to_nodes": "loading",
    "slice_maximum_curve": "curves",
    "training_curves": "training_chart",
    "volume_to_node": "volumes",
    "write_own_labels": "own_labels",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
