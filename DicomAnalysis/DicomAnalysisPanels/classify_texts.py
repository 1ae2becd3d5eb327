"""What the page *Classify* says: a model and an answer in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

SHOWN_WARNINGS = 4


def answer_text(result: Any) -> str:
    """What a model says of a volume (`ClassificationResult`), with the most important remarks."""
    shown = [_("Please look: {warning}").format(warning=line) for line in result.warnings[:SHOWN_WARNINGS]]
    if len(result.warnings) > SHOWN_WARNINGS:
        more = len(result.warnings) - SHOWN_WARNINGS
        shown.append(_("{count} more remarks are in the table.").format(count=more))
    return "\n".join([f"{result.words}.", *shown])


def model_text(information: Mapping[str, Any] | None) -> str:
    """A model in a few words: what it tells, which one it is, what it was trained on."""
    if information is None:
        return ""
    told = "; ".join(f"{target.name}: {', '.join(target.classes)}" for target in information["targets"])
    lines = [
        _("Tells {what}.").format(what=told),
        _("{name}, version {version}, {sha}.").format(
            name=information["name"], version=information["version"], sha=information["sha256"][:12]
        ),
    ]
    known = information["range"]
    words = [", ".join(known.get(key, ())) for key in ("modality", "body_part")]
    if any(words):
        number = known.get("cases")
        of = _(" ({count} cases)").format(count=number) if number else ""
        lines.append(_("Trained on {what}{of}.").format(what=" ".join(filter(None, words)), of=of))
    if len(information["views"]) > 1:
        lines.append(_("Views: {names}.").format(names=", ".join(information["views"])))
    return "\n".join(lines)
