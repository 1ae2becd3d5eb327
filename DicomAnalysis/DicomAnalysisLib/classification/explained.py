"""What of an answer is to be explained: by which method, of which targets, of which of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import UsageError
from .cohort import BINARY, Target
from .explanation import GRAD_CAM, METHODS
from .heads import Head, Heads
from .result import Answer

EVERY = "all"
"""Explains every target."""

Explain = bool | str | Sequence[str] | None
"""True or a method: the first target; `EVERY`, ``TARGET`` or ``TARGET:CLASS``: those; several of these in a list."""


@dataclass(frozen=True)
class Explained:
    """One class that is explained.

    Attributes
    ----------
    target, class_name : str
    output : int
        Of the network, as `explanation.Explainer.maps` takes it.
    """

    target: str
    class_name: str
    output: int


@dataclass(frozen=True)
class ExplainRequest:
    """What was asked for.

    Attributes
    ----------
    method : str
        ``grad-cam`` or ``occlusion``; empty where nothing is to be explained.
    wanted : tuple of (str, str)
        Names of targets and of their classes, in the order asked for; without a class, the one that is told.
    """

    method: str = ""
    wanted: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, explain: Explain, targets: Sequence[Target]) -> ExplainRequest:
        """What a caller asked of a model with these targets.

        Raises
        ------
        UsageError
            If a word is neither a method nor a target or class of the model, or two methods are named.
        """
        words = (GRAD_CAM,) if explain is True else (explain,) if isinstance(explain, str) else tuple(explain or ())
        words = tuple(filter(None, words))
        if not words:
            return cls()
        methods = list(dict.fromkeys(word for word in words if word in METHODS))
        if len(methods) > 1:
            msg = f"Explanations are made by one method, not by {' and '.join(methods)}; choose one."
            raise UsageError(msg)
        wanted = [pair for word in words if word not in METHODS for pair in _named(word, targets)]
        return cls((methods or [GRAD_CAM])[0], tuple(dict.fromkeys(wanted)) or ((targets[0].name, ""),))

    def outputs(self, heads: Heads, answers: Sequence[Answer]) -> list[Explained]:
        """What that is of one answer: of a binary target that is named alone always what speaks for the second class.

        Parameters
        ----------
        heads : Heads
        answers : sequence of Answer
            In the order of the heads.
        """
        by_name = {head.target.name: (head, answer) for head, answer in zip(heads, answers, strict=True)}
        found = [_explained(*by_name[target], name, heads.outputs) for target, name in self.wanted]
        return list(dict.fromkeys(found))


def _named(word: str, targets: Sequence[Target]) -> list[tuple[str, str]]:
    """Targets and classes that a word means; names may hold colons."""
    if word == EVERY:
        return [(target.name, "") for target in targets]
    known: Mapping[str, tuple[str, str]] = {
        **{f"{target.name}:{name}": (target.name, name) for target in targets for name in target.classes},
        **{target.name: (target.name, "") for target in targets},
    }
    if word in known:
        return [known[word]]
    owner = next((target for target in targets if str(word).startswith(f"{target.name}:")), None)
    if owner is not None:
        msg = f"There is no class {word!r}; those of the target {owner.name!r}: {', '.join(owner.classes)}."
        raise UsageError(msg)
    msg = (
        f"There is no explanation {word!r}. Name a method ({', '.join(METHODS)}), or what is to be explained: {EVERY}, "
        f"a target ({', '.join(target.name for target in targets)}), or a class as TARGET:CLASS."
    )
    raise UsageError(msg)


def _explained(head: Head, answer: Answer, class_name: str, outputs: int) -> Explained:
    target = head.target
    name = class_name or (target.classes[1] if target.kind == BINARY else answer.best)
    index = target.classes.index(name)
    # A binary target has one output, for its second class; what speaks against it speaks for the first one.
    against = target.kind == BINARY and index == 0
    return Explained(target.name, name, head.output_of(index) + (outputs if against else 0))
