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

from .grid import NodeGrid, grid_of_node
from .segmentations import result_to_segmentation_node, segmentation_node_to_masks
from .tables import result_to_table_node
from .task import NodeResults, segment_node
from .volumes import cleaned_volume_node, node_to_volume, volume_to_node

__all__ = [
    "NodeGrid",
    "NodeResults",
    "cleaned_volume_node",
    "grid_of_node",
    "node_to_volume",
    "result_to_segmentation_node",
    "result_to_table_node",
    "segment_node",
    "segmentation_node_to_masks",
    "volume_to_node",
]
