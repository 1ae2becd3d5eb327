"""The model card: what a model is for, what it learned from, how well it does, and where it fails."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from .architectures import ModelDescription


@dataclass(frozen=True)
class TrainingSet:
    """Where a model learned from.

    Attributes
    ----------
    name, licence : str
    patients : int
        How many; 0 where the images are made.
    source : str
        Address or DOI.
    remark : str
        What was taken of it, or the credit that the licence asks for.
    """

    name: str
    licence: str
    patients: int = 0
    source: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Score:
    """One number, its interval, and what it must be compared with.

    Attributes
    ----------
    name : str
        With its unit, for example ``Dice of the holder``.
    data : str
        On which patients, and how they were kept apart from training.
    value : float
    low, high : float, optional
        Confidence interval.
    confidence : float
        Of the interval.
    baselines : mapping of str to float
        The same number of an empty mask, of the neighbouring slice's, of the classical method.
    """

    name: str
    data: str
    value: float
    low: float | None = None
    high: float | None = None
    confidence: float = 0.95
    baselines: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelCard:
    """What a user has to know before a model is trusted.

    Attributes
    ----------
    intended_use : str
    training_sets : tuple of TrainingSet
    scores : tuple of Score
    known_failures : tuple of str
    date : str
        Of training, ISO 8601.
    program_version : str
        Of the program that trained it.
    licence : str
        Of the weights.
    remarks : str
    """

    intended_use: str
    training_sets: tuple[TrainingSet, ...] = ()
    scores: tuple[Score, ...] = ()
    known_failures: tuple[str, ...] = ()
    date: str = ""
    program_version: str = ""
    licence: str = "Apache-2.0"
    remarks: str = ""

    def to_dict(self) -> dict[str, object]:
        """In JSON's types."""
        sets = [asdict(one) for one in self.training_sets]
        scores = [asdict(one) | {"baselines": dict(one.baselines)} for one in self.scores]
        lists = {"training_sets": sets, "scores": scores, "known_failures": list(self.known_failures)}
        return {one.name: lists.get(one.name, getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_dict(cls, values: object) -> ModelCard:
        """From what `to_dict` gave.

        Raises
        ------
        ModelError
            If it is not a card.
        """
        try:
            values = dict(values)
            values["training_sets"] = tuple(TrainingSet(**one) for one in values.get("training_sets", ()))
            values["scores"] = tuple(Score(**one) for one in values.get("scores", ()))
            values["known_failures"] = tuple(str(one) for one in values.get("known_failures", ()))
            card = cls(**values)
            card.to_markdown()  # what is not of its kind shows when it is written out
        except (TypeError, ValueError, AttributeError) as error:
            msg = f"A model's card cannot be read: {error}"
            raise ModelError(msg) from error
        return card

    def to_markdown(self, description: ModelDescription | None = None) -> str:
        """The card as Markdown."""
        lines = []
        for kind, content in self._parts(description):
            if kind == "title":
                lines += [f"# {content}", ""]
            elif kind == "heading":
                lines += [f"## {content}", ""]
            elif kind == "text":
                lines += [content, ""]
            elif kind == "list":
                lines += [*(f"- {item}" for item in content), ""]
            else:
                lines += [*_markdown_table(content), ""]
        return "\n".join(lines)

    def to_html(self, description: ModelDescription | None = None) -> str:
        """The card as plain HTML, without scripts, pictures or addresses that are opened by themselves."""
        tags = {"title": "h1", "heading": "h2", "text": "p"}
        lines = []
        for kind, content in self._parts(description):
            if kind in tags:
                lines.append(f"<{tags[kind]}>{html.escape(content)}</{tags[kind]}>")
            elif kind == "list":
                lines += ["<ul>", *(f"<li>{html.escape(item)}</li>" for item in content), "</ul>"]
            else:
                lines += _html_table(content)
        return "\n".join(['<html><head><meta charset="utf-8"></head><body>', *lines, "</body></html>", ""])

    def _parts(self, description: ModelDescription | None) -> Iterator[tuple[str, object]]:
        yield "title", f"Model {description.name}, version {description.version}" if description else "Model card"
        if description:
            yield "list", tuple(_facts(description))
        yield "heading", "Intended use"
        yield "text", self.intended_use or "Not said."
        yield "heading", "Known failures"
        yield ("list", self.known_failures) if self.known_failures else ("text", "None is written down.")
        yield "heading", "Scores"
        yield ("table", _score_rows(self.scores)) if self.scores else ("text", "None is written down.")
        yield "heading", "Learned from"
        yield ("table", _set_rows(self.training_sets)) if self.training_sets else ("text", "Not said.")
        yield "heading", "Made"
        made = (("Date", self.date), ("Program", self.program_version), ("Licence of the weights", self.licence))
        yield "list", tuple(f"{name}: {value}" for name, value in made if value)
        if self.remarks:
            yield "text", self.remarks


def _facts(description: ModelDescription) -> Iterator[str]:
    yield f"Task: {description.task}"
    yield f"Network: {description.architecture.get('network')} (MONAI)"
    yield f"Classes: {', '.join(description.classes) or 'not named'}"
    yield from (f"Input, {key.replace('_', ' ')}: {value}" for key, value in description.input.items())


def _score_rows(scores: tuple[Score, ...]) -> list[tuple[str, ...]]:
    names = tuple(dict.fromkeys(name for one in scores for name in one.baselines))
    rows = [("Score", "Network", "Interval", *names, "On")]
    for one in scores:
        known = one.low is not None and one.high is not None
        interval = f"{one.low:.4g} to {one.high:.4g} ({one.confidence:.0%})" if known else ""
        others = (f"{one.baselines[name]:.4g}" if name in one.baselines else "" for name in names)
        rows.append((one.name, f"{one.value:.4g}", interval, *others, one.data))
    return rows


def _set_rows(sets: tuple[TrainingSet, ...]) -> list[tuple[str, ...]]:
    rows = [(one.name, str(one.patients or ""), one.licence, one.source, one.remark) for one in sets]
    return [("Set", "Patients", "Licence", "Source", "Remark"), *rows]


def _markdown_table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield _row(cell.replace("|", "\\|").replace("\n", " ") for cell in row)
        if not number:
            yield _row("---" for _ in row)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _html_table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield '<table border="1" cellspacing="0" cellpadding="4">'
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        yield "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
    yield "</table>"
