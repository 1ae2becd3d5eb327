"""Which view of a patient an image is: by positioner angles, laterality, view position, or description.

- **Angiography**: Positioner Primary and Secondary Angle (PS3.3 C.8.7.5), degrees; positive primary
  is LAO, positive secondary is cranial.
- **Mammography**: Image Laterality and View Position (PS3.3 C.8.11.7): "L CC", "R MLO".
- **Anything**: a regular expression on the series description.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import UsageError
from .finding import check_pattern

TOLERANCE_DEGREES = 10.0
STEP_DEGREES = 5
"""To which angles without a rule are rounded for their name."""


@dataclass(frozen=True)
class ViewRule:
    """What a view is called, and how its images are known. All that is stated must fit.

    Parameters
    ----------
    name : str
    description : str
        Regular expression looked for in the series description, in whatever case.
    laterality : str
        "L" or "R".
    position : str
        View Position: "CC", "MLO", "AP", ...
    primary, secondary : float, optional
        Positioner angles, degrees.
    tolerance : float
        Farthest that an angle may be off, degrees.

    Raises
    ------
    UsageError
        If the name is empty or has a colon, an angle is no number, or the expression is not a regular one.
    """

    name: str
    description: str = ""
    laterality: str = ""
    position: str = ""
    primary: float | None = None
    secondary: float | None = None
    tolerance: float = TOLERANCE_DEGREES

    def __post_init__(self) -> None:
        if not self.name.strip():
            msg = "A view needs a name."
            raise UsageError(msg)
        for name in ("name", "description", "laterality", "position"):
            object.__setattr__(self, name, getattr(self, name).strip())
        if ":" in self.name:
            msg = f"The view's name '{self.name}' has a colon, after which its rule would begin; leave it out."
            raise UsageError(msg)
        angles = {name: getattr(self, name) for name in (*_ANGLES, "tolerance")}
        for name, value in angles.items():
            if value is not None and not math.isfinite(value):
                msg = f"The view '{self.name}': {name} is {value}; give a number of degrees."
                raise UsageError(msg)
        check_pattern(self.description)

    @classmethod
    def from_text(cls, text: str) -> ViewRule:
        """From an argument: ``NAME`` (for a view column) or ``NAME:KEY=VALUE,KEY=VALUE``.

        Keys are `description`, `laterality`, `position`, `primary`, `secondary` and `tolerance`;
        for example ``lateral:primary=90,secondary=0`` or ``LCC:laterality=L,position=CC``. A comma within a value
        is written twice.
        """
        name, _, rest = text.partition(":")
        values: dict[str, object] = {}
        for part in re.findall(r"(?:[^,]|,,)+", rest):
            key, equals, value = part.replace(",,", ",").partition("=")
            key = key.strip().casefold()
            if not equals or key not in ("description", "laterality", "position", *_ANGLES, "tolerance"):
                msg = f"The view '{text}' cannot be understood; write for example 'LCC:laterality=L,position=CC'."
                raise UsageError(msg)
            values[key] = _degrees(value, text) if key in (*_ANGLES, "tolerance") else value.strip()
        return cls(name.strip(), **values)

    def to_text(self) -> str:
        """What `from_text` makes this rule of again."""
        stated = [(name, getattr(self, name)) for name in ("description", "laterality", "position", *_ANGLES)]
        values = [(name, value) for name, value in stated if value not in ("", None)]
        if self.tolerance != TOLERANCE_DEGREES:
            values.append(("tolerance", self.tolerance))
        parts = [f"{name}={str(value).replace(',', ',,')}" for name, value in values]
        return f"{self.name}:{','.join(parts)}" if parts else self.name

    @property
    def is_automatic(self) -> bool:
        """Whether it states how its images are known; otherwise the label table's view column says so."""
        stated = self.description or self.laterality or self.position
        return bool(stated) or self.primary is not None or self.secondary is not None

    def distance(self, facts: Mapping[str, str | float]) -> float | None:
        """How far an image's angles are off, degrees (0 without angles); None where it is not this view."""
        if self.description and not re.search(self.description, str(facts.get("description", "")), re.IGNORECASE):
            return None
        if self.laterality and _upper(facts, "laterality")[:1] != self.laterality.upper()[:1]:
            return None
        if self.position and _upper(facts, "view_position") != self.position.upper():
            return None
        off = 0.0
        for wanted, key in ((self.primary, "primary_angle"), (self.secondary, "secondary_angle")):
            if wanted is None:
                continue
            stated = facts.get(key)
            if stated is None:
                return None
            apart = abs((float(stated) - wanted + 180) % 360 - 180)
            if apart > self.tolerance:
                return None
            off = max(off, apart)
        return off


_ANGLES = ("primary", "secondary")


def view_name(facts: Mapping[str, str | float], rules: Sequence[ViewRule]) -> str:
    """What view an image is; empty where no rule fits.

    Without rules the name is made of what the header states: "L CC" from laterality and view position,
    "primary +30 secondary -10" from the angles (rounded to 5 degrees).

    Parameters
    ----------
    facts : mapping
        As `headers.header_facts` gives them.
    rules : sequence of ViewRule
        The nearest by angle is taken, the first of equals.
    """
    automatic = [rule for rule in rules if rule.is_automatic]
    if rules:
        fits = [(off, k) for k, rule in enumerate(automatic) if (off := rule.distance(facts)) is not None]
        return automatic[min(fits)[1]].name if fits else ""
    sides = [_upper(facts, "laterality")[:1], _upper(facts, "view_position")]
    if any(sides):
        return " ".join(filter(None, sides))
    angles = [facts.get("primary_angle"), facts.get("secondary_angle")]
    if angles[0] is None and angles[1] is None:
        return ""
    rounded = [int(STEP_DEGREES * round(float(angle or 0.0) / STEP_DEGREES)) for angle in angles]
    return f"primary {rounded[0]:+d} secondary {rounded[1]:+d}"


def _upper(facts: Mapping[str, str | float], key: str) -> str:
    return str(facts.get(key, "")).strip().upper()


def _degrees(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"The view '{whole}': '{text}' is no number of degrees."
        raise UsageError(msg) from None
