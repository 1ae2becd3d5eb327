"""What the user is told about packages: before, instead of, and after a failed installation."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .features import FEATURES, PYTORCH, Package


def question(feature: str, packages: Iterable[Package]) -> str:
    """What the user is asked, once for all: what is needed, how large it is and where it comes from."""
    packages = tuple(packages)
    lines = [f"{FEATURES[feature].title} needs what Slicer does not ship:", ""]
    lines += [f"  {one.requirement}: {one.purpose}, {_size(one.megabytes, one.largest_megabytes)}" for one in packages]
    least = sum(one.megabytes for one in packages)
    most = sum(one.largest_megabytes or one.megabytes for one in packages)
    lines += ["", f"Download: {_size(least, most if most > least else 0)}, from"]
    lines += [f"  {source}" for source in dict.fromkeys(one.source for one in packages)]
    lines += [
        "into Slicer's own Python. No package that is there is replaced, and no image leaves this computer.",
        "Slicer waits while it installs, which can take minutes.",
        "",
        "Install now?",
    ]
    return "\n".join(lines)


def manual_way(packages: Iterable[Package]) -> str:
    """How to install without a connection, or past a proxy."""
    packages = tuple(packages)
    lines = []
    if any(one.source == PYTORCH for one in packages):
        lines.append(
            "torch: install the extension PyTorch in the Extensions Manager, restart Slicer, and install torch in "
            "the module PyTorch Util."
        )
    names = " ".join(f'"{one.requirement}"' for one in packages if one.source != PYTORCH)
    if names:
        lines += [
            "On a computer with the same system, the same Slicer and a connection:",
            f"  PythonSlicer -m pip download -d packages {names}",
            "Bring the folder here and run:",
            f"  PythonSlicer -m pip install --no-index --find-links packages {names}",
            "Behind a proxy set HTTPS_PROXY=http://user:password@host:port before Slicer is started.",
        ]
    return "\n".join(lines)


def explain_failure(text: str) -> str:
    """Why an installation failed, from what pip said: in words for the user."""
    for pattern, explanation in _EXPLANATIONS:
        if re.search(pattern, text, re.IGNORECASE):
            return explanation
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return f"The installer says: {last[:300]}" if last else "The installer gave no reason; see the log."


def explain_missing_module(name: str) -> str:
    """What to tell a user whose task stopped because a module cannot be imported."""
    top = name.partition(".")[0]
    for feature in FEATURES.values():
        for package in feature.packages:
            if package.module == top:
                return f"{feature.title} needs the package {package.name}, which is not installed.\n" + manual_way(
                    [package]
                )
    return (
        f"The Python package {top or '(unnamed)'}, which is needed here, cannot be imported; it is part of Slicer and "
        "of every full installation: install the program again."
    )


_EXPLANATIONS = (
    (
        r"ProxyError|407 Proxy|Tunnel connection failed|Cannot connect to proxy",
        "The proxy refused the connection. Set HTTPS_PROXY to the address that your network wants, with user and "
        "password where it asks for them, and start Slicer again.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSL:",
        "The secure connection was not trusted, which is how networks look that open encrypted connections to inspect "
        "them. Ask for their certificate and name its file in the variable PIP_CERT; do not switch the check off.",
    ),
    (
        r"Name or service not known|Temporary failure in name resolution|getaddrinfo failed|nodename nor servname|"
        r"Network is unreachable|NewConnectionError|ConnectTimeout|Connection refused|Read timed out|"
        r"Could not fetch URL|dns error|failed to lookup address",
        "There is no connection to the package index: this computer is offline, or a firewall is in between.",
    ),
    (r"No space left|not enough space|Errno 28", "The disk is full: make room, about twice the size of the download."),
    (
        r"ResolutionImpossible|conflicting dependencies|No solution found",
        "The packages do not fit to what is installed already, which is not replaced. A newer Slicer may help.",
    ),
    (
        r"No matching distribution|Could not find a version",
        "The index has no build for this system and this Python, or it could not be reached.",
    ),
    (
        r"WinError 206|path too long|filename or extension is too long",
        "A path is too long for Windows. Install Slicer in a folder with a short name, such as C:\\Slicer, or "
        "switch on long paths in Windows.",
    ),
    (
        r"Permission denied|Access is denied|Errno 13|EACCES",
        "Slicer's folder cannot be written, or a file is in use. Install Slicer into a folder of your own, close other "
        "Slicer windows, and try again.",
    ),
    (
        r"No module named .?PyTorchUtils",
        "The extension PyTorch is not installed. Install it in the Extensions Manager and start Slicer again.",
    ),
)


def _size(megabytes: int, largest: int = 0) -> str:
    if largest:
        return f"about {_amount(megabytes)} to {_amount(largest)}"
    return f"about {_amount(megabytes)}"


def _amount(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"
