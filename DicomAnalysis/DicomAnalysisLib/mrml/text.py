"""A model card as a text node, which Slicer shows in its Texts module and saves with the scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import slicer
import vtk

from ..networks.model_folder import check_weights, find_model, read_manifest

if TYPE_CHECKING:
    from ..networks.model_folder import LoadedModel, Manifest

CARD = "DicomAnalysis.ModelCard"
"""Attribute of the node: the SHA-256 of the weights that the card speaks of."""


def model_card_node(scene: slicer.vtkMRMLScene, name_or_folder: Path | str) -> slicer.vtkMRMLTextNode:
    """The card of a shipped model, by its name, or of the user's, by its folder, in the scene.

    torch is not needed for it.

    Raises
    ------
    UsageError
        If there is no such model.
    ModelError
        If its manifest or its weights were changed or are missing.
    """
    manifest = read_manifest(find_model(name_or_folder))
    check_weights(manifest)
    return model_card_to_text_node(scene, manifest)


def model_card_to_text_node(scene: slicer.vtkMRMLScene, model: Manifest | LoadedModel) -> slicer.vtkMRMLTextNode:
    """The card of a model in the scene: one node a model, however often it is asked for.

    Parameters
    ----------
    scene : vtkMRMLScene
    model : Manifest or LoadedModel

    Returns
    -------
    vtkMRMLTextNode
        Plain text (Markdown), UTF-8.
    """
    count = scene.GetNumberOfNodesByClass("vtkMRMLTextNode")
    nodes = (scene.GetNthNodeByClass(n, "vtkMRMLTextNode") for n in range(count))
    node = next((one for one in nodes if one.GetAttribute(CARD) == model.sha256), None)
    if node is None:
        name = scene.GenerateUniqueName(f"Model card {model.description.name}")
        node = scene.AddNewNodeByClass("vtkMRMLTextNode", name)
        node.SetAttribute(CARD, model.sha256)
    node.SetText(model.card.to_markdown(model.description), vtk.VTK_ENCODING_UTF_8)
    return node
