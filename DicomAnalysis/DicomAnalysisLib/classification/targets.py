"""From the text in label columns to targets: which classes there are, and the class of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import UsageError
from .cohort import BINARY, MULTICLASS, MULTILABEL, Target
from .tables import FACT_COLUMNS, IDENTIFIERS, VIEW_COLUMN, LabelTable, simplified

SEPARATOR = ";"
"""Between the names of several classes in one cell."""
_NEGATIVE = frozenset(
    "0 no n false f negative neg normal absent healthy control none without - benign 0.0".split()  # noqa: SIM905
)
_NO = frozenset(("0", "no", "n", "false", "f", "absent", "negative", "none", "-"))
_YES = frozenset(("1", "yes", "y", "true", "t", "present", "positive", "x"))
_NOTHING = frozenset(("none", "-"))
_NOT_KNOWN = frozenset(("nan", "na", "n/a", "#n/a", "<na>", "null"))
"""What programs write into a cell of which nothing is known: no class, unless it is named as one."""
_USUAL = ("label", "class", "diagnosis", "target", "finding")


@dataclass(frozen=True)
class LabelColumns:
    """Which columns make one target.

    Parameters
    ----------
    name : str
        Of the target.
    columns : tuple of str
        One column, or several that hold 0 or 1 each (multi-label); empty: the column called `name`.
    kind : str
        "binary", "multiclass", "multilabel", or empty to see it from the values.
    classes : tuple of str
        Names in the wanted order (binary: negative first); empty: as the values say.
    """

    name: str
    columns: tuple[str, ...] = ()
    kind: str = ""
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns) or (self.name,))
        object.__setattr__(self, "classes", tuple(self.classes))

    @classmethod
    def from_text(cls, text: str) -> LabelColumns:
        """From an argument: ``finding``, ``finding:multilabel``, ``sites=left,right`` or ``finding:binary``."""
        name, _, columns = text.partition("=")
        name, _, kind = name.partition(":")
        parts = tuple(part.strip() for part in columns.split(",") if part.strip())
        if not name.strip():
            msg = f"'{text}' names no label; write NAME, NAME:KIND or NAME=COLUMN,COLUMN."
            raise UsageError(msg)
        return cls(name.strip(), parts, kind.strip())


@dataclass(frozen=True)
class Encoder:
    """Turns the cells of one row into a label of one target."""

    target: Target
    columns: tuple[int, ...]
    index: Mapping[str, int]

    def encode(self, row: Sequence[str]) -> tuple[int, ...] | None:
        """The label of a row; None where it states none.

        Raises
        ------
        ValueError
            If a cell is none of the classes; the message is the reason.
        """
        cells = [row[column] for column in self.columns]
        if all(_is_unknown(cell) and normal(cell) not in self.index for cell in cells):
            return None
        if len(cells) > 1:
            return _flags(cells, self.target)
        if self.target.kind == MULTILABEL:
            names = _names(cells[0])
            return tuple(int(k in {self._class(name) for name in names}) for k in range(len(self.target.classes)))
        return (self._class(cells[0]),) if cells[0] else None

    def _class(self, text: str) -> int:
        if normal(text) not in self.index:
            msg = f"'{text}' is no class of '{self.target.name}' ({', '.join(self.target.classes)})"
            raise ValueError(msg)
        return self.index[normal(text)]


def normal(value: str) -> str:
    """A class as it is compared: without case, and 1.0 is 1."""
    text = value.strip().casefold()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def choose_columns(table: LabelTable, asked: Sequence[LabelColumns]) -> tuple[LabelColumns, ...]:
    """What the targets are: those asked for, else the only column that is no identifier, else a usual name.

    Raises
    ------
    UsageError
        If it cannot be told; the message lists the columns.
    """
    if asked:
        return tuple(asked)
    known = {name for names in (*IDENTIFIERS.values(), VIEW_COLUMN, *FACT_COLUMNS.values()) for name in names}
    left = [title for title in table.header if simplified(title) not in known]
    usual = [title for title in left if simplified(title) in _USUAL]
    if len(left) == 1 or len(usual) == 1:
        return (LabelColumns((usual or left)[0]),)
    listed = ", ".join(left) or "none that is no identifier"
    msg = f"Say which column of {table.name} is the label; there are: {listed}."
    raise UsageError(msg)


def make_encoder(table: LabelTable, asked: LabelColumns, notes: list[str]) -> Encoder:
    """The target of some columns, with its classes from the values where they are not given.

    Raises
    ------
    UsageError
        If the columns are not there, or their values do not make such a target.
    """
    columns = tuple(table.column(name) for name in asked.columns)
    if len(columns) > 1:
        if asked.kind not in ("", MULTILABEL):
            msg = f"The label '{asked.name}' has {len(columns)} columns, so it is multi-label, not {asked.kind}."
            raise UsageError(msg)
        classes = asked.classes or tuple(table.header[column] for column in columns)
        if len(classes) != len(columns):
            msg = f"The label '{asked.name}' has {len(columns)} columns but {len(classes)} classes are named."
            raise UsageError(msg)
        return Encoder(Target(asked.name, MULTILABEL, classes), columns, {})
    cells = [cell for row in table.rows if (cell := row[columns[0]]) and not _is_unknown(cell)]
    several = asked.kind == MULTILABEL or (not asked.kind and any(SEPARATOR in cell for cell in cells))
    names = [name for cell in cells for name in (_names(cell) if several else (cell,))]
    classes = asked.classes or _sorted_classes(names)
    index = {normal(name): k for k, name in enumerate(classes)}
    if several:
        kind = MULTILABEL
        empty = sum(not row[columns[0]] for row in table.rows)
        if empty:
            notes.append(f"{asked.name}: {empty} rows name no class; they are taken to have none of them.")
    else:
        kind = asked.kind or (BINARY if len(classes) == 2 else MULTICLASS)
        if kind == BINARY and not asked.classes and len(classes) == 2:
            classes = _negative_first(classes)
            index = {normal(name): k for k, name in enumerate(classes)}
            notes.append(f"{asked.name}: '{classes[0]}' is taken as negative, '{classes[1]}' as positive.")
    return Encoder(Target(asked.name, kind, classes), columns, index)


def _is_unknown(cell: str) -> bool:
    return normal(cell) in _NOT_KNOWN


def _names(cell: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in cell.split(SEPARATOR) if name.strip())
    return () if len(names) == 1 and names[0].casefold() in _NOTHING else names


def _flags(cells: Sequence[str], target: Target) -> tuple[int, ...] | None:
    if not any(cells):
        return None
    flags = []
    for cell, name in zip(cells, target.classes, strict=True):
        text = normal(cell)
        if text not in _YES and text not in _NO:
            msg = f"'{cell}' in '{name}' is neither 0 nor 1"
            raise ValueError(msg)
        flags.append(int(text in _YES))
    return tuple(flags)


def _sorted_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Each class once as it is written first in sorted order; numbers by value."""
    first: dict[str, str] = {}
    for name in sorted(names):
        first.setdefault(normal(name), name)
    return tuple(first[key] for key in sorted(first, key=_class_order))


def _class_order(key: str) -> tuple:
    try:
        return 0, float(key), key
    except ValueError:
        return 1, 0.0, key


def _negative_first(classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(classes, key=lambda name: normal(name) not in _NEGATIVE))
