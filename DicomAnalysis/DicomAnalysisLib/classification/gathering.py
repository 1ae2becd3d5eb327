"""Which images are classified together: each by itself, or those of one study by the names of their views.

From headers alone, as `finding` gives them, and for whoever classifies: a batch, a cohort. Labelled images become cases
in `assembling`, which chooses between several images of one view in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from .finding import FoundImage
from .images import without_ending
from .views import ViewRule, view_name


@dataclass(frozen=True)
class ImageCase:
    """What is classified together.

    Attributes
    ----------
    case_id : str
        The Series Instance UID; of several views the Study Instance UID, or the name of the folder that files lie in.
    images : mapping of str to FoundImage
        The image of each view that is there, by the view's name and in the model's order; ``""`` for the only one.
    """

    case_id: str
    images: Mapping[str, FoundImage]

    @property
    def series_uids(self) -> tuple[str, ...]:
        """Those of its images."""
        return tuple(image.identity.series_uid for image in self.images.values())


def gather_cases(
    images: Sequence[FoundImage], view_names: Sequence[str], rules: Sequence[ViewRule] = ()
) -> tuple[list[ImageCase], list[str]]:
    """What is classified together, and what is left out of it.

    Parameters
    ----------
    images : sequence of FoundImage
        All of them at once, since the views of a study may lie anywhere; without scouts.
    view_names : sequence of str
        Those that the model looks at (`prediction.Classifier.view_names`); ``("",)`` where a case is one image.
    rules : sequence of ViewRule
        How images are known to be a view; without any, by what their headers state.

    Returns
    -------
    cases : list of ImageCase
        In the order of their first images. A view that is missing is missing in `ImageCase.images`.
    left_out : list of str
        A line with the reason for every image that is none of the views, or not the largest of its view in its study.
    """
    if tuple(view_names) == ("",):
        return [ImageCase(image.identity.series_uid, {"": image}) for image in images], []
    groups: dict[tuple[str, str], list[_ViewOfImage]] = {}
    for image in images:
        groups.setdefault(_group(image), []).append(_ViewOfImage(view_of(image, view_names, rules), image))
    names = _case_ids(groups)
    cases, left_out = [], []
    for group, found in groups.items():
        chosen, others = largest_of_each_view(found, view_names)
        left_out += [f"{one.image.identity.series_uid} was left out: {reason}." for one, reason in others]
        if chosen:
            cases.append(ImageCase(names[group], {name: one.image for name, one in chosen.items()}))
    return cases, left_out


def view_of(image: FoundImage, names: Sequence[str], rules: Sequence[ViewRule] = ()) -> str:
    """Which view an image is; empty where nothing says so.

    By the rules, by what its header states, or, where it is no DICOM, by its file's name: that of the view, or one that
    ends in it (``front.png``, ``case-1_front.png``).
    """
    if not image.is_dicom:
        stem = without_ending(image.files[0])
        fits = (name for name in names if stem == name or stem.endswith((f"_{name}", f"-{name}")))
        return max(fits, key=len, default="")
    return view_name(image.facts, rules)


class ViewImage(Protocol):
    """An image and which view it is."""

    @property
    def view(self) -> str:
        """Name of the view; empty where nothing says so."""

    @property
    def image(self) -> FoundImage:
        """What was found."""


AnyViewImage = TypeVar("AnyViewImage", bound=ViewImage)


def largest_of_each_view(
    found: Iterable[AnyViewImage], names: Sequence[str]
) -> tuple[dict[str, AnyViewImage], list[tuple[AnyViewImage, str]]]:
    """One image for each view: the largest; of equals the first by series UID and files, whatever their order.

    Parameters
    ----------
    found : iterable of ViewImage
        Of one case.
    names : sequence of str
        The views.

    Returns
    -------
    chosen : dict
        By view, in the order of `names`; those that are missing are not in it.
    left_out : list of (ViewImage, str)
        The others, each with the reason; an image that was given twice is not among them.
    """
    chosen: dict[str, AnyViewImage] = {}
    left_out = []
    for one in sorted(found, key=preference):
        if one.view not in names:
            known = f"none of {', '.join(names)}" if any(names) else "not asked for"
            left_out.append((one, f"its view {one.view!r} is {known}" if one.view else "nothing says which view it is"))
        elif one.view not in chosen:
            chosen[one.view] = one
        elif one.image.files != chosen[one.view].image.files:
            first, whose = chosen[one.view].image.identity.series_uid, f"view {one.view}" if one.view else "a case"
            left_out.append((one, f"it is smaller than {first}, or comes after it, and {whose} has one image"))
    return {name: chosen[name] for name in names if name in chosen}, left_out


def preference(one: ViewImage) -> tuple:
    """Sorts images by view, the one to be taken first."""
    identity = one.image.identity
    return one.view, -one.image.pixels, identity.series_uid, one.image.files


@dataclass(frozen=True)
class _ViewOfImage:
    view: str
    image: FoundImage


def _group(image: FoundImage) -> tuple[str, str]:
    """The study, or else the folder in which the file lies."""
    uid = image.identity.study_uid
    return (uid, "") if uid else ("", str(Path(image.files[0]).parent))


def _case_ids(groups: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What the cases are called; folders of one name in several places by the folder above, too."""
    names = {group: group[0] or Path(group[1]).name for group in groups}
    taken = list(names.values())
    return {
        group: "/".join(Path(group[1]).parts[-2:]) if group[1] and taken.count(name) > 1 else name
        for group, name in names.items()
    }
