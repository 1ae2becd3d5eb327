"""Having what a feature needs: asking once, installing without replacing anything, saying why it failed."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from ..errors import DicomAnalysisError
from .features import FEATURES, PYTORCH, Package, VersionOf, installed_version, missing
from .texts import explain_failure, manual_way, question


class DependencyError(DicomAnalysisError):
    """A package that is needed is missing and could not be installed."""


class Installer(Protocol):
    """What the application does for us; tests hand in their own."""

    def confirm(self, title: str, text: str) -> bool:
        """Ask the user once; False where the answer is no."""

    def install(self, requirements: list[str], constraints: Path) -> None:
        """Install from the index, changing nothing that the constraints file names; raise where that fails."""

    def install_torch(self, specifier: str, constraints: Path) -> None:
        """Install torch through the PyTorch extension, under the same constraints; raise where that fails."""


def ensure(feature: str, installer: Installer, version_of: VersionOf = installed_version) -> bool:
    """Have what a feature needs, asking and installing where something is missing.

    Returns
    -------
    bool
        False where the user said no.

    Raises
    ------
    DependencyError
        If it could not be installed; the message says why, as far as that is known, and what else to do.
    """
    packages = missing(feature, version_of)
    if not packages:
        return True
    if not installer.confirm(f"Install packages for: {FEATURES[feature].title}", question(feature, packages)):
        return False
    try:
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "constraints.txt"
            for torch in (one for one in packages if one.source == PYTORCH):
                constraints.write_text(constraints_text(packages), encoding="utf-8")
                installer.install_torch(_torch_specifier(torch), constraints)
            others = [one for one in packages if one.source != PYTORCH]
            if others:  # from here on the torch that was chosen for this computer stays, too
                constraints.write_text(constraints_text(others), encoding="utf-8")
                installer.install([one.requirement for one in others], constraints)
    except Exception as error:
        raise DependencyError(_failure(feature, packages, str(error))) from error
    importlib.invalidate_caches()
    still = missing(feature, version_of)
    if still:
        names = ", ".join(one.name for one in still)
        raise DependencyError(_failure(feature, still, f"{names} cannot be found after the installation"))
    return True


def constraints_text(requested: Iterable[Package], installed: Mapping[str, str] | None = None) -> str:
    """A constraints file that keeps every package that is there at its version, but for those asked for.

    Parameters
    ----------
    requested : iterable of Package
        They may be newer than what is there.
    installed : mapping of str to str, optional
        Names and versions; those of this Python by default.
    """
    if installed is None:
        found = ((one.metadata["Name"], one.version) for one in importlib.metadata.distributions())
        installed = {name: version for name, version in found if name and version}
    asked = {_canonical(one.name) for one in requested}
    pins = {_canonical(name): f"{name}=={version}" for name, version in installed.items()}
    return "".join(f"{pin}\n" for name, pin in sorted(pins.items()) if name not in asked)


def _failure(feature: str, packages: tuple[Package, ...], text: str) -> str:
    names = ", ".join(one.name for one in packages)
    return (
        f"{FEATURES[feature].title} cannot be used: {names} could not be installed. {explain_failure(text)}\n\n"
        f"By hand:\n{manual_way(packages)}"
    )


def _torch_specifier(package: Package) -> str:
    # torch 2.13 holds files whose paths are too long for Windows as it is set up by default.
    return package.specifier + (",<2.13" if platform.system() == "Windows" else "")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
