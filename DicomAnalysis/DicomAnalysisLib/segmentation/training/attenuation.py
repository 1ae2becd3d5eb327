"""X-ray attenuation of tissue and implant materials at the energies of a 120 kVp spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ENERGIES_KEV = (40, 50, 60, 70, 80, 100, 120)
DETECTED_SHARE = np.array([0.10, 0.18, 0.21, 0.18, 0.14, 0.13, 0.06])
"""Share of the signal at each energy: 120 kVp behind some 5 mm of aluminium, a detector that weighs by energy.

Representative, not a certain tube's: it sets how strongly beams harden.
"""
EFFECTIVE = ENERGIES_KEV.index(70)
"""Hounsfield units are attenuation at this energy."""

# Mass attenuation coefficients, cm2/g, at ENERGIES_KEV. Elam, Ravel and Sieber, Radiat. Phys. Chem. 63 (2002) 121;
# where NIST tabulates the same energy (Hubbell and Seltzer, NISTIR 5632) both agree to 0.1 %.
_MASS_ATTENUATION = {
    "Al": (0.5684, 0.3682, 0.2778, 0.2301, 0.2018, 0.1704, 0.1533),
    "Ti": (2.2126, 1.2135, 0.7660, 0.5361, 0.4053, 0.2721, 0.2102),
    "V": (2.4720, 1.3475, 0.8438, 0.5845, 0.4371, 0.2877, 0.2185),
    "Cr": (2.8554, 1.5512, 0.9640, 0.6620, 0.4905, 0.3166, 0.2365),
    "Fe": (3.6289, 1.9574, 1.2049, 0.8164, 0.5952, 0.3717, 0.2693),
    "Co": (3.9799, 2.1444, 1.3140, 0.8853, 0.6414, 0.3949, 0.2822),
    "Ni": (4.5996, 2.4746, 1.5111, 1.0138, 0.7306, 0.4439, 0.3131),
    "Cu": (4.8612, 2.6130, 1.5926, 1.0642, 0.7630, 0.4585, 0.3195),
    "Mo": (12.9378, 7.0400, 4.2736, 2.8093, 1.9623, 1.0957, 0.6979),
    "Ag": (17.1922, 9.4460, 5.7662, 3.7978, 2.6507, 1.4694, 0.9240),
    "Sn": (19.4268, 10.7012, 6.5663, 4.3354, 3.0294, 1.6769, 1.0491),
    "Pt": (12.4463, 6.9544, 4.3396, 2.9271, 8.7322, 4.9931, 3.2128),
    "Au": (12.9807, 7.2581, 4.5290, 3.0542, 2.1852, 5.1580, 3.2521),
    "Hg": (13.4180, 7.5029, 4.6826, 3.1579, 2.2589, 5.2770, 3.3313),
}
WATER_PER_CM = np.array([0.2683, 0.2269, 0.2059, 0.1929, 0.1837, 0.1707, 0.1614])
BONE_PER_CM = 1.92 * np.array([0.6655, 0.4242, 0.3148, 0.2570, 0.2229, 0.1855, 0.1656])
"""Cortical bone (ICRU 44), 1.92 g/cm3."""


@dataclass(frozen=True)
class Material:
    """What an implant is made of.

    Attributes
    ----------
    name : str
    density : float
        g/cm3.
    composition : tuple of (element, share by mass)
    """

    name: str
    density: float
    composition: tuple[tuple[str, float], ...]

    @property
    def per_cm(self) -> np.ndarray:
        """Linear attenuation, 1/cm, at `ENERGIES_KEV`."""
        return self.density * sum(share * np.array(_MASS_ATTENUATION[element]) for element, share in self.composition)

    @property
    def hu(self) -> float:
        """Hounsfield units of a thick block, without any artefact."""
        return float(1000 * (self.per_cm[EFFECTIVE] / WATER_PER_CM[EFFECTIVE] - 1))


MATERIALS = {
    material.name: material
    for material in (
        Material("titanium", 4.43, (("Ti", 0.90), ("Al", 0.06), ("V", 0.04))),
        Material("steel", 7.95, (("Fe", 0.67), ("Cr", 0.18), ("Ni", 0.125), ("Mo", 0.025))),
        Material("cobalt chromium", 8.3, (("Co", 0.65), ("Cr", 0.29), ("Mo", 0.06))),
        Material("nitinol", 6.45, (("Ni", 0.56), ("Ti", 0.44))),
        Material("amalgam", 11.6, (("Hg", 0.48), ("Ag", 0.32), ("Sn", 0.14), ("Cu", 0.06))),
        Material("gold", 19.3, (("Au", 1.0),)),
        Material("dental gold", 15.5, (("Au", 0.75), ("Ag", 0.13), ("Cu", 0.12))),
        Material("platinum", 21.4, (("Pt", 1.0),)),
    )
}
