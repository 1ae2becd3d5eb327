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

from .grid import NodeGrid, grid_of_node, require_scalar_volume
from .loading import ct_series, load_files, load_series, series_to_nodes
from .segmentations import result_to_segmentation_node, segmentation_node_to_masks
from .tables import result_to_table_node
from .task import NodeResults, find_results, segment_node
from .volumes import cleaned_volume_node, node_to_volume, volume_to_node

__all__ = [
    "NodeGrid",
    "NodeResults",
    "cleaned_volume_node",
    "ct_series",
    "find_results",
    "grid_of_node",
    "load_files",
    "load_series",
    "node_to_volume",
    "require_scalar_volume",
    "result_to_segmentation_node",
    "result_to_table_node",
    "segment_node",
    "segmentation_node_to_masks",
    "series_to_nodes",
    "volume_to_node",
]
