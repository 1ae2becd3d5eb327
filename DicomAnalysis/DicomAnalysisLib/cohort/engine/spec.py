"""What is done with every series: what a driver tells its workers, on this machine and on a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from .options import SERIES


@dataclass(frozen=True)
class TaskSpec:
    """What a worker does, with a JSON form.

    Attributes
    ----------
    task : str
    output : str
        Folder of the results.
    number : int
        Of the run: the rows of a later one win.
    options_hash, model_hash, recipe_hash : str
    model, device : str
    segmentation : mapping
        Fields of `SegmentationOptions`.
    key : str
        Of pseudonyms, hexadecimal; empty where identifiers are written.
    memory_limit : int
        Bytes.
    unit : str
        What an item is: ``series``; ``study``, where a model looks at several views.
    views : sequence of str
        How images are known to be a view, as ``--view`` takes it; empty: as in training.
    decoders : int
        Children of one worker that decode compressed frames, at most.
    """

    task: str
    output: str
    number: int = 1
    options_hash: str = ""
    model_hash: str = ""
    recipe_hash: str = ""
    model: str = ""
    device: str = "auto"
    segmentation: Mapping[str, object] = field(default_factory=dict)
    key: str = ""
    memory_limit: int = 0
    unit: str = SERIES
    views: Sequence[str] = ()
    decoders: int = 1

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TaskSpec:
        """Back from `to_json`."""
        return cls(**json.loads(text))
