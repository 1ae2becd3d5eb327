"""Arguments of the commands that read a table of features."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..cohort.features.table import FeatureTable


def add_table(parser: argparse.ArgumentParser) -> None:
    """Which features, and where results go."""
    parser.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        help="features: the output of `cohort run --task features`, or a Parquet file",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for tables and report")
    parser.add_argument("--model-hash", metavar="HASH", help="which model's features, where the table holds several")
    parser.add_argument("--recipe-hash", metavar="HASH", help="which recipe's features; default: the newest")


def load_table(arguments: argparse.Namespace) -> FeatureTable:
    """The features that the arguments name.

    Raises
    ------
    SourceError
        If there are none.
    """
    from ..cohort.features.loading import load_features

    return load_features(arguments.table, arguments.model_hash, arguments.recipe_hash)
