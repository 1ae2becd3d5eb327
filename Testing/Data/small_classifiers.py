"""Small classifiers for tests: what they look for is written into their weights, nothing is learned."""

from __future__ import annotations

from pathlib import Path

from DicomAnalysisLib.classification.architectures import ClassifierDescription, build_classifier
from DicomAnalysisLib.classification.cohort import Target
from DicomAnalysisLib.classification.heads import Heads, output_document
from DicomAnalysisLib.classification.recipe import Recipe, recipe_named
from DicomAnalysisLib.networks.architectures import ModelDescription
from DicomAnalysisLib.networks.card import ModelCard
from DicomAnalysisLib.networks.model_folder import Manifest, save_model

FINDING = Target("finding", "binary", ("normal", "abnormal"))
REGION = Target("region", "multiclass", ("head", "chest", "pelvis"))
SIGNS = Target("signs", "multilabel", ("nodule", "effusion", "wire"))

CARD = ModelCard(intended_use="Tests of this program.", date="2026-01-01", program_version="0")


def volume_recipe(shape=(16, 32, 32)) -> Recipe:
    """``ct-volume`` on a coarser grid."""
    return recipe_named("ct-volume").changed("fixed_grid", shape=shape)


def write_classifier(
    folder: Path,
    targets=(FINDING,),
    network="volume3d/small3d",
    recipe: Recipe | None = None,
    views=("",),
    temperature=None,
    known_range=None,
    pooling="attention",
    looks_for_bright=False,
    looks_for_levels=None,
    seed=0,
    name="tiny",
) -> Manifest:
    """A model's folder with weights drawn at random.

    With `looks_for_bright`, a ``volume3d/small3d`` whose first output grows with the brightest place; with
    `looks_for_levels`, one whose outputs are `look_for_levels`.
    """
    import torch

    recipe = recipe or volume_recipe()
    described = ClassifierDescription(network, Heads(targets).outputs, len(views), "small", pooling)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build_classifier(described).eval()
    if looks_for_bright:
        look_for_bright(module)
    if looks_for_levels:
        look_for_levels(module, looks_for_levels)
    values = {"recipe": recipe.to_dict(), "views": list(views), "range": known_range or {}}
    output = output_document(targets, temperature or {}, views)
    description = ModelDescription(name, "1.2", "classify", described.to_architecture(), values, output)
    return save_model(folder, module, description, CARD)


def look_for_bright(network) -> None:
    """Every convolution of a ``volume3d/small3d`` passes brightness on, and the first output adds it up."""
    import torch

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv3d):
                module.weight.zero_()
                module.weight[0, 0, 1, 1, 1] = 1.0
                module.bias.zero_()
            elif isinstance(module, torch.nn.Linear):
                module.weight.zero_()
                module.weight[0, 0] = 1.0
                module.bias.zero_()
        first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv3d))
        first.bias[0] = -0.9  # what is as bright as the lesion alone
        network.head.weight[0, 0] = 500.0


BRIGHT, GREY = 0, 1
BRIGHT_HU, GREY_HU = 350, 220


def look_for_levels(network, outputs: dict[int, tuple[int, float]]) -> None:
    """A ``volume3d/small3d`` that sees what is bright and what is grey (by `volume_recipe`), each in a channel.

    `outputs` says of some outputs of which channel they are, and the sign; the others stay 0.
    """
    import torch

    with torch.no_grad():
        convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d)]
        for module in (*convolutions, *(one for one in network.modules() if isinstance(one, torch.nn.Linear))):
            module.weight.zero_()
            module.bias.zero_()
        for module in convolutions:
            for channel in (BRIGHT, GREY):
                module.weight[channel, min(channel, module.in_channels - 1), 1, 1, 1] = 1.0
        convolutions[0].bias[BRIGHT], convolutions[0].bias[GREY] = -0.9, -0.8
        convolutions[1].weight[GREY, BRIGHT] = -10.0  # what is bright is not grey, nor is its rim
        for module in (network.body.hidden[0], network.body.projection):
            for channel in (BRIGHT, GREY):
                module.weight[channel, channel] = 1.0
        for output, (channel, sign) in outputs.items():
            network.head.weight[output, channel] = 500.0 * sign
