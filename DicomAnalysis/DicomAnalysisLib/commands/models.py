"""``dicom-analysis models``: the networks that come with the program, and those of the user."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console, table

if TYPE_CHECKING:
    from ..networks.model_folder import Manifest

NAME = "models"
HELP = "network models: list, model cards, MONAI bundles"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command: one of four actions."""
    from .arguments import add_common

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    known = actions.add_parser("list", help="the models that come with the program")
    show = actions.add_parser("show", help="the card of a model: its use, scores, known failures and origin")
    out = actions.add_parser("export", help="write a model as a MONAI bundle")
    into = actions.add_parser("import", help="make a model's folder of a MONAI bundle; none of its code is executed")
    for action in (show, out):
        action.add_argument("model", metavar="MODEL", help="the name of a model that is shipped, or a model's folder")
    out.add_argument("folder", type=Path, metavar="FOLDER", help="where the bundle goes")
    into.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder of a MONAI bundle")
    into.add_argument("folder", type=Path, metavar="FOLDER", help="where the model goes")
    for action in (known, show, out, into):
        add_common(action)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Do the action; 0 when it was done."""
    actions = {"list": _list, "show": _show, "export": _export, "import": _import}
    actions[arguments.action](arguments, console)
    return 0


def _list(_: argparse.Namespace, console: Console) -> None:
    from ..networks.model_folder import shipped_models

    manifests = shipped_models()
    rows = [(one.folder.name, one.description.version, one.description.task, _size(one.size)) for one in manifests]
    lines = table(("Name", "Version", "Task", "Size"), rows, right=(3,)) if rows else ["No model comes with it."]
    console.result({"models": [_document(one) for one in manifests]}, lines)


def _show(arguments: argparse.Namespace, console: Console) -> None:
    from ..networks.model_folder import check_weights, find_model, read_manifest

    manifest = read_manifest(find_model(arguments.model))
    check_weights(manifest)
    lines = [
        *manifest.card.to_markdown(manifest.description).splitlines(),
        f"SHA-256 of the weights: {manifest.sha256}",
    ]
    console.result(_document(manifest), lines)


def _export(arguments: argparse.Namespace, console: Console) -> None:
    from ..networks.bundle import export_bundle
    from ..networks.model_folder import find_model, load_model

    bundle = export_bundle(load_model(find_model(arguments.model)), arguments.folder)
    console.result({"bundle": bundle}, [f"MONAI bundle written to {bundle}"])


def _import(arguments: argparse.Namespace, console: Console) -> None:
    from ..networks.bundle import import_bundle
    from ..networks.model_folder import save_model

    model = import_bundle(arguments.bundle)
    manifest = save_model(arguments.folder, model.network, model.description, model.card)
    console.result(_document(manifest), [f"Model {manifest.description.name} written to {manifest.folder}"])


def _document(manifest: Manifest) -> dict[str, object]:
    return {
        "folder": manifest.folder,
        "bytes": manifest.size,
        "sha256": manifest.sha256,
        "model": manifest.description.to_dict(),
        "card": manifest.card.to_dict(),
    }


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
