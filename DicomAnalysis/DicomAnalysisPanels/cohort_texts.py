"""What the page *Cohort* says: how far a run is, what was found, and what a cluster is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

SHOWN_FINDINGS = 8
QUARANTINED = "quarantined"


def status_text(status: Any) -> str:
    """How far the features of a folder are; empty where nothing was begun."""
    if status is None:
        return ""
    counts = status.counts
    left = left_of(status)
    parts = [_("{count} series measured").format(count=counts.get("done", 0))]
    for state, words in (("skipped", _("{count} without images")), ("failed", _("{count} failed"))):
        if counts.get(state):
            parts.append(words.format(count=counts[state]))
    aside = sum(reason.startswith(QUARANTINED) for reason in status.failed.values())
    if aside:
        parts.append(_("{count} of these put aside, for they ended their process").format(count=aside))
    text = ", ".join(parts) + "."
    if status.is_running:
        return text + " " + _("A run is at work in this folder.")
    return text + (" " + _("{count} are left: Resume does them.").format(count=left) if left else "")


def left_of(status: Any) -> int:
    """How many series are not gone through."""
    return sum(count for state, count in status.counts.items() if state not in ("done", "failed", "skipped"))


def measured_text(values: Mapping[str, Any]) -> str:
    """What a run did, in a line."""
    text = _("{done} series measured now, {kept} earlier; {failed} failed.").format(
        done=values["done"], kept=values["kept"], failed=len(values["failed"])
    )
    if values["refused"]:
        text += " " + _("{count} files were left out: no DICOM, or not readable.").format(count=values["refused"])
    return text


def findings_text(lines: Sequence[str]) -> str:
    """The sentences of an analysis, the most important ones."""
    shown = list(lines[:SHOWN_FINDINGS])
    if len(lines) > SHOWN_FINDINGS:
        shown.append(_("{count} more remarks are in the report.").format(count=len(lines) - SHOWN_FINDINGS))
    return "\n".join(shown)


def cluster_text(one: Any) -> str:
    """What a cluster is."""
    lines = [_("{size} series of {patients} patients.").format(size=one.size, patients=one.patients)]
    if one.is_value:
        lines.append(_("Please look: {sentence}").format(sentence=one.is_value))
    if one.words:
        lines.append(_("Set apart by: {words}.").format(words=one.words))
    return "\n".join(lines)


def drawn_text(drawn: int, rows: int) -> str:
    """Where not all series are points: how many are; else empty."""
    return _("{drawn} of {rows} series are drawn as points.").format(drawn=drawn, rows=rows) if drawn < rows else ""
