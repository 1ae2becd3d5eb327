"""The features that need packages beyond the core, and which of them are missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PYPI = "the Python Package Index (pypi.org)"
PYTORCH = "the extension PyTorch, which chooses the build for this computer's graphics card"


@dataclass(frozen=True)
class Package:
    """One package of a feature.

    Attributes
    ----------
    requirement : str
        As for pip: name and lower bound.
    module : str
        What is imported.
    megabytes : int
        Download with what it needs in turn, about; for torch the smallest and largest build.
    purpose : str
    largest_megabytes : int
        Where the size depends on the computer.
    source : str
        Where it comes from.
    system : str
        Only on this system (as `platform.system` names it); with ``!`` before it, on all others.
    """

    requirement: str
    module: str
    megabytes: int
    purpose: str
    largest_megabytes: int = 0
    source: str = PYPI
    system: str = ""

    @property
    def name(self) -> str:
        """The name in the index."""
        return re.match(r"[A-Za-z0-9._-]+", self.requirement)[0]

    @property
    def specifier(self) -> str:
        """The bounds, for example ``>=2.4``."""
        return self.requirement[len(self.name) :]

    def applies(self, system: str) -> bool:
        """Whether it is needed on a system."""
        if self.system.startswith("!"):
            return self.system[1:] != system
        return self.system in ("", system)


@dataclass(frozen=True)
class Feature:
    """Something the program can do, and what it needs for it beyond the core."""

    title: str
    packages: tuple[Package, ...] = ()


_TORCH = Package("torch>=2.4", "torch", 200, "runs neural networks", 2500, PYTORCH)

FEATURES: Mapping[str, Feature] = {
    "segmentation": Feature("Segmentation of headrest and metal"),
    "decoding": Feature(
        "Fast decoding of compressed DICOM",
        (Package("imagecodecs>=2024.6.1", "imagecodecs", 27, "decodes JPEG, JPEG-LS, JPEG 2000 and RLE"),),
    ),
    "plots": Feature("Plots as pictures", (Package("matplotlib>=3.8", "matplotlib", 20, "draws curves"),)),
    "network": Feature(
        "Neural networks",
        (
            _TORCH,
            Package("monai>=1.4", "monai", 2, "networks and training for medical images"),
            Package("safetensors>=0.4", "safetensors", 1, "reads and writes weights"),
        ),
    ),
    "cohort": Feature(
        "Cohort analysis",
        (
            Package("scikit-learn>=1.5", "sklearn", 10, "scores, splits and clusters"),
            Package("scikit-image>=0.24", "skimage", 17, "features of images"),
            Package("pyarrow>=15", "pyarrow", 45, "reads and writes tables"),
            Package("psutil>=5.9", "psutil", 1, "watches the memory of workers"),
            Package("threadpoolctl>=3.1", "threadpoolctl", 1, "one thread for small fits"),
            Package("hdbscan>=0.8.40", "hdbscan", 6, "clusters without a given number"),
            Package("umap-learn>=0.5.6", "umap", 64, "fewer dimensions"),
            Package("xgboost-cpu>=2.1", "xgboost", 6, "boosted trees", system="!Darwin"),
            Package("xgboost>=2.1", "xgboost", 3, "boosted trees", system="Darwin"),
        ),
    ),
}
"""By name; the bounds are those of the extras in pyproject.toml."""

VersionOf = Callable[[Package], str | None]


def installed_version(package: Package) -> str | None:
    """The version that is installed; None where the module is not there. Nothing is imported."""
    if importlib.util.find_spec(package.module) is None:
        return None
    for name in (package.name, package.module):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "0"


def missing(feature: str, version_of: VersionOf = installed_version, system: str | None = None) -> tuple[Package, ...]:
    """The packages of a feature that are not installed, or too old.

    Raises
    ------
    KeyError
        If there is no such feature.
    """
    system = system or platform.system()
    needed = (package for package in FEATURES[feature].packages if package.applies(system))
    return tuple(package for package in needed if not _is_satisfied(package, version_of(package)))


def _is_satisfied(package: Package, version: str | None) -> bool:
    bound = package.specifier.removeprefix(">=")
    return version is not None and _numbers(version) >= _numbers(bound)


def _numbers(version: str) -> tuple[int, ...]:
    """The release part of a version: 2.13.0+cpu is (2, 13, 0)."""
    numbers = re.match(r"v?\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].lstrip("v").split(".")) if numbers else ()
