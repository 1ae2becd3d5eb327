"""Arguments that `fetch` and `send` share: which server, how it is trusted, how patiently it is asked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..dicomweb.client import DicomWeb

SERVER, CA_BUNDLE = "DICOM_ANALYSIS_SERVER", "DICOM_ANALYSIS_CA_BUNDLE"
CREDENTIALS_HELP = (
    "Credentials are taken from DICOM_ANALYSIS_USER and DICOM_ANALYSIS_PASSWORD, or DICOM_ANALYSIS_TOKEN, or a netrc "
    "file; there is no option for them, for command lines are seen by others. TLS certificates are always verified."
)


def add_server(parser: argparse.ArgumentParser) -> None:
    """Which server, and how to talk to it."""
    parser.epilog = CREDENTIALS_HELP
    parser.add_argument(
        "--server",
        default=os.environ.get(SERVER),
        metavar="URL",
        help=f"root of the DICOMweb service, https://pacs.example.org/dicom-web for example; default: {SERVER}",
    )
    parser.add_argument(
        "--ca-bundle",
        type=Path,
        default=os.environ.get(CA_BUNDLE) or None,
        metavar="PEM",
        help=f"CA certificates to trust in place of the system's, for a PACS with its own; default: {CA_BUNDLE}",
    )
    parser.add_argument("--netrc", type=Path, metavar="FILE", help="default: the file named in NETRC, else ~/.netrc")
    parser.add_argument(
        "--retries", type=_count, default=4, metavar="N", help="how often a failed request is tried again; default: 4"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="seconds to wait for the server to begin or go on; default: 60",
    )


def open_server(arguments: argparse.Namespace, tell: Callable[[str], None]) -> DicomWeb:
    """The server the arguments name.

    Raises
    ------
    UsageError
        If none is named, or address, credentials or CA bundle cannot be used.
    """
    from ..dicomweb.client import DicomWeb
    from ..dicomweb.retry import RetryPolicy

    if not arguments.server:
        msg = f"Which server? Give --server URL, or set {SERVER}."
        raise UsageError(msg)
    server = DicomWeb(
        arguments.server,
        ca_bundle=arguments.ca_bundle,
        netrc_file=arguments.netrc,
        timeout_s=arguments.timeout,
        policy=RetryPolicy(arguments.retries),
        tell=tell,
    )
    if not server.transport.is_private:
        tell(f"warning: {server} is not an https address: what is transferred can be read on its way.")
    return server


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 100:
        msg = f"{text} is not a number from 0 to 100"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        msg = f"{text} is not a number of seconds from 0.1 to 3600"
        raise argparse.ArgumentTypeError(msg)
    return seconds
