"""Result folders of a batch come back into the scene as they were computed."""

from __future__ import annotations

import numpy as np
import pytest
from DicomAnalysisLib.errors import SourceError
from DicomAnalysisLib.files.result_folder import write_result
from DicomAnalysisLib.mrml import find_results, load_result, result_to_nodes, segmentation_node_to_masks, volume_to_node
from DicomAnalysisLib.phantom import make_head_phantom
from DicomAnalysisLib.segmentation import segment
from DicomAnalysisLib.volume import StackGeometry, Volume
from mrml_cases import fresh_scene

scene = pytest.fixture(fresh_scene)


@pytest.fixture(scope="module", params=["even", "tilted", "uneven"])
def volume(request):
    phantom = make_head_phantom((24, 96, 96), (6.25, 2.4, 2.4), tilt_degrees=12.0 * (request.param == "tilted"))
    if request.param != "uneven":
        return phantom.volume
    keep = np.array([k for k in range(24) if k % 7 != 3])
    whole = phantom.volume
    geometry: StackGeometry = whole.geometry.select(keep)
    return Volume(whole.voxels[keep], geometry, whole.identity)


def test_it_is_the_same_as_the_result_in_the_scene(scene, volume, tmp_path):
    result = segment(volume)
    write_result(tmp_path, volume, result)
    node = volume_to_node(scene, volume, "head")
    computed = result_to_nodes(scene, result, node)
    loaded = load_result(scene, node, tmp_path)
    expected = segmentation_node_to_masks(computed.segmentation_node, node)
    for name, mask in segmentation_node_to_masks(loaded.segmentation_node, node).items():
        np.testing.assert_array_equal(mask, expected[name])
    for row in range(computed.table_node.GetNumberOfRows()):
        for column in range(computed.table_node.GetNumberOfColumns()):
            assert loaded.table_node.GetCellText(row, column) == computed.table_node.GetCellText(row, column)
    assert find_results(scene, node).cleaned_volume_node is loaded.cleaned_volume_node
    assert loaded.result.threshold_hu == result.threshold_hu


def test_what_cannot_be_read_is_named_and_leaves_nothing(scene, tmp_path):
    volume = make_head_phantom((24, 96, 96), (6.25, 2.4, 2.4)).volume
    node = volume_to_node(scene, volume, "head")
    with pytest.raises(SourceError, match=r"cannot be read"):
        load_result(scene, node, tmp_path)
    write_result(tmp_path, volume, segment(volume))
    (tmp_path / "segmentation.seg.nrrd").unlink()
    with pytest.raises(SourceError, match=r"segmentation\.seg\.nrrd"):
        load_result(scene, node, tmp_path)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
