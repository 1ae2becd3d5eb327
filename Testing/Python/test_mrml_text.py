"""Model cards as real text nodes."""

from __future__ import annotations

import hashlib
import json

import pytest
import vtk
from DicomAnalysisLib.errors import ModelError, UsageError
from DicomAnalysisLib.mrml import model_card_node
from DicomAnalysisLib.mrml.text import CARD as CARD_ATTRIBUTE
from DicomAnalysisLib.networks import model_folder
from mrml_cases import fresh_scene
from small_models import CARD, DESCRIPTION

scene = pytest.fixture(fresh_scene)


@pytest.fixture
def folder(tmp_path):
    """A model's folder whose weights nobody parses: torch is not needed for its card."""
    weights = b"weights"
    document = {
        "format": model_folder.FORMAT,
        "model": DESCRIPTION.to_dict(),
        "weights": {"file": "w", "bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()},
        "card": CARD.to_dict(),
    }
    digest = model_folder._document_sha256(document)
    (tmp_path / "w").write_bytes(weights)
    (tmp_path / "manifest.json").write_text(json.dumps(document | {"manifest_sha256": digest}), encoding="utf-8")
    return tmp_path


def test_a_card_in_the_scene(scene, folder):
    node = model_card_node(scene, folder)
    assert node.GetClassName() == "vtkMRMLTextNode"
    assert node.GetName() == "Model card small"
    assert node.GetText() == CARD.to_markdown(DESCRIPTION)
    assert node.GetEncoding() == vtk.VTK_ENCODING_UTF_8
    assert node.GetAttribute(CARD_ATTRIBUTE) == hashlib.sha256(b"weights").hexdigest()


def test_asked_for_twice_it_is_there_once(scene, folder):
    node = model_card_node(scene, folder)
    node.SetText("")
    assert model_card_node(scene, str(folder)) is node
    assert node.GetText().startswith("# Model small")
    assert scene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 1


def test_it_is_saved_with_the_scene(scene, folder, tmp_path):
    node = model_card_node(scene, folder)
    file = tmp_path / "scene.mrml"
    scene.SetURL(str(file))
    text = node.GetText()
    assert scene.Commit()
    scene.Clear(True)
    assert scene.Import()
    assert scene.GetFirstNodeByClass("vtkMRMLTextNode").GetText() == text


def test_no_card_of_what_was_changed(scene, folder):
    (folder / "w").write_bytes(b"Weights")
    with pytest.raises(ModelError, match="was changed"):
        model_card_node(scene, folder)
    with pytest.raises(UsageError, match="There is no model"):
        model_card_node(scene, "nothing")
    assert not scene.GetNumberOfNodesByClass("vtkMRMLTextNode")
