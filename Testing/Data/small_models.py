"""Small networks for tests: built in milliseconds, with weights drawn at random from a fixed seed."""

from __future__ import annotations

from DicomAnalysisLib.networks.architectures import ModelDescription, build_network
from DicomAnalysisLib.networks.card import ModelCard, Score, TrainingSet
from DicomAnalysisLib.networks.model_folder import LoadedModel

DESCRIPTION = ModelDescription(
    name="small",
    version="1",
    task="headrest",
    architecture={
        "network": "UNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 3,
        "channels": [4, 8, 16],
        "strides": [2, 2],
        "num_res_units": 1,
        "norm": "BATCH",
    },
    input={"spacing_mm": 2.0, "window_hu": [-1000, 1500]},
    output={"classes": ["background", "holder", "body"]},
)

CARD = ModelCard(
    intended_use="Tests of this program.",
    training_sets=(TrainingSet("None <made>", "Apache-2.0", 2, "https://example.org/a|b", "noise"),),
    scores=(Score("Dice", "two phantoms", 0.5, 0.25, 0.75, baselines={"empty mask": 0.0, "classical": 0.4}),),
    known_failures=("Everything.", "Weights are random & small."),
    date="2026-01-01",
    program_version="0",
)


def random_network(description: ModelDescription = DESCRIPTION, seed: int = 0):
    """A network whose batch normalisations have seen something, in evaluation mode."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(description)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 2)
                torch.nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def random_model(description: ModelDescription = DESCRIPTION, seed: int = 0) -> LoadedModel:
    """The same as a model that is in no folder."""
    return LoadedModel(description, CARD, "", None, random_network(description, seed))
