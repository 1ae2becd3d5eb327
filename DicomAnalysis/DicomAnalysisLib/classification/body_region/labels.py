"""The regions that are told apart, and the regions that each tool was made for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

REGIONS = ("head", "neck", "chest", "abdomen", "pelvis", "limb", "none")
"""In the order of the network's outputs.

``head``: from the teeth upward. ``neck``: below them, down to the lung's apex. ``chest``: lung or heart, above the
dome of the diaphragm. ``abdomen``: below the diaphragm, down to the iliac crest. ``pelvis``: iliac wings, sacrum,
hips. ``limb``: arms or legs and nothing of the trunk or head. ``none``: no patient (air, an empty table, a phantom
without bones).
"""

MADE_FOR: Mapping[str, frozenset[str]] = MappingProxyType(
    {"headrest": frozenset({"head", "neck", "chest", "abdomen"})},
)
"""Where a tool was made for some regions only; tools that are not named work everywhere."""

WORDS: Mapping[str, str] = MappingProxyType({region: f"the {region}" for region in REGIONS} | {"limb": "a limb only"})
"""How a region is called in a sentence."""
