"""What is doubtful about a training whatever its score: told with the result."""

from __future__ import annotations

from collections.abc import Iterator

from .cohort import Cohort, Split
from .heads import Heads
from .recipe import Recipe

FEWEST_TO_VALIDATE = 10
MOST_NAMED = 8
"""Classes that a warning lists."""


def doubts(cohort: Cohort, split: Split, recipe: Recipe) -> Iterator[str]:
    """Lines for the user about patients, classes and the recipe.

    Parameters
    ----------
    cohort : Cohort
        Cases that can be used.
    split : Split
    recipe : Recipe
        Images were prepared by.
    """
    if not split.test:
        yield (
            "No patient was kept for a test: the score is of the patients that chose the best epoch, and flatters. "
            "Give a test share, or folds."
        )
    count = len(cohort.subset(split.validation).patients())
    if count < FEWEST_TO_VALIDATE:
        yield f"Patients to validate on: {count}. So few choose the best epoch largely by chance."
    yield from _absent_classes(cohort, split)
    yield from _other_scales(cohort, recipe)


def _absent_classes(cohort: Cohort, split: Split) -> Iterator[str]:
    """Classes that a part cannot tell from the others; a table may name what no image shows."""
    for part, what in (("training", "it cannot be learned"), ("validation", "the epoch is chosen without it")):
        cases = cohort.subset(split.parts[part])
        for head in Heads(cohort.targets):
            ones = head.target.indicators(cases.labels_of(head.target))[:, -len(head.judged) :]
            alike = [name for name, column in zip(head.judged, ones.T, strict=True) if len(set(column.tolist())) < 2]
            if alike:
                names = ", ".join(alike[:MOST_NAMED]) + (", …" if len(alike) > MOST_NAMED else "")
                yield f"{head.target.name}: no {part} case, or every one, is of the class {names}: {what}."


def _other_scales(cohort: Cohort, recipe: Recipe) -> Iterator[str]:
    """A window in Hounsfield units means nothing in MR, and nothing fails."""
    in_hounsfield = any(step.name == "window" or step.parameters.get("method") == "body" for step in recipe.steps)
    others = sorted({str(case.facts.get("modality", "")) for case in cohort.cases} - {"CT", ""})
    if in_hounsfield and others:
        yield (
            f"The recipe {recipe.name} is made for the Hounsfield units of CT, and images are of {', '.join(others)}. "
            "Choose another recipe."
        )
