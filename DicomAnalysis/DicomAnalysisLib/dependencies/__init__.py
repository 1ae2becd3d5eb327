"""Packages that a feature needs beyond the core: what is missing, how large, where from, and how else to get it.

Headrest, metal and everything that leads to them need no package that Slicer does not ship.
Others are asked for when they are first used, once, in one question. Nothing here installs by
itself: that is done through an `Installer`, which the application provides.
"""

from .features import FEATURES, Feature, Package, installed_version, missing
from .installing import DependencyError, Installer, constraints_text, ensure
from .texts import explain_failure, explain_missing_module, manual_way, question

__all__ = [
    "FEATURES",
    "DependencyError",
    "Feature",
    "Installer",
    "Package",
    "constraints_text",
    "ensure",
    "explain_failure",
    "explain_missing_module",
    "installed_version",
    "manual_way",
    "missing",
    "question",
]
