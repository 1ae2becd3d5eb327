"""``run.json`` of an output folder: what the results in it were made with, and under which names."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

from ... import __version__
from ...errors import UsageError
from ...files.atomic import write_text
from ...files.json_text import json_text
from ..deidentify import Pseudonyms
from ..ledger import Ledger
from .options import SEGMENT, CohortOptions
from .spec import TaskSpec

RUN_FILE = "run.json"
_AS_IN_DATA, _PSEUDONYMS = "as in the data", "pseudonyms"
_PSEUDONYM = re.compile(r"[0-9a-f]{32}")


def write_run_file(output: Path, options: CohortOptions, spec: TaskSpec) -> None:
    """Note what results are made with; without paths, for the folder may be given away."""
    document = {
        "task": options.task,
        "version": __version__,
        "model_hash": spec.model_hash,
        "recipe_hash": spec.recipe_hash,
        "options_hash": spec.options_hash,
        "identifiers": _PSEUDONYMS if spec.key else _AS_IN_DATA,
        "key": mark_of_key(bytes.fromhex(spec.key)),
        "segmentation": options.segmentation if options.task == SEGMENT else None,
    }
    write_text(output / RUN_FILE, json_text(document))


def refuse_to_mix(ledger: Ledger, spec: TaskSpec) -> None:
    """Refuse a folder whose results have other names for the same series: beside each other they tell whose they are.

    Raises
    ------
    UsageError
        If identifiers and pseudonyms, or pseudonyms of two keys, would come into one folder.
    """
    output = Path(spec.output)
    earlier: dict[str, object] = {}
    with contextlib.suppress(OSError, ValueError):  # none, or one that was damaged
        earlier = json.loads((output / RUN_FILE).read_text("utf-8"))
    hidden = earlier.get("identifiers") == _PSEUDONYMS
    if spec.key:
        other_key = hidden and earlier.get("key") != mark_of_key(bytes.fromhex(spec.key))
        refused = other_key or not all(_PSEUDONYM.fullmatch(entry.item) for entry in ledger.entries())
        what = "pseudonyms of another key" if other_key else "identifiers as they are in the data"
    else:
        refused, what = hidden, "pseudonyms"
    if refused:
        msg = (
            f"The results in {output} have {what}; what this run makes would tell beside them whose they are. Choose "
            "another output folder."
        )
        raise UsageError(msg)


def mark_of_key(key: bytes | None) -> str:
    """Tells keys apart and says nothing about them; empty without one."""
    return Pseudonyms(key).of("key", "which") if key else ""
