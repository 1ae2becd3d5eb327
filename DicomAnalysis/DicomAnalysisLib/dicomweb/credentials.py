"""Who we are to the server: from the environment or a netrc file, never from the command line.

``DICOM_ANALYSIS_TOKEN`` is sent as a bearer token; ``DICOM_ANALYSIS_USER`` and
``DICOM_ANALYSIS_PASSWORD`` as a user name and password (RFC 7617). Without them the netrc file
is asked for the server's host name: the file named in ``NETRC``, else ``~/.netrc`` (on Windows
also ``~/_netrc``). Secrets stand in no message, log or repr.
"""

from __future__ import annotations

import base64
import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError

USER, PASSWORD, TOKEN = "DICOM_ANALYSIS_USER", "DICOM_ANALYSIS_PASSWORD", "DICOM_ANALYSIS_TOKEN"


@dataclass(frozen=True)
class Credentials:
    """What authorises us.

    Attributes
    ----------
    header : str
        Value of the Authorization header.
    origin : str
        Where they were found, for messages.
    """

    header: str = field(repr=False)
    origin: str


def find_credentials(
    host: str, netrc_file: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Credentials | None:
    """The credentials for a host; None where there are none.

    Parameters
    ----------
    host : str
    netrc_file : path, optional
        In place of the usual ones; it must be there then. The environment still comes first.
    environment : mapping

    Raises
    ------
    UsageError
        If there is half of them only, or the netrc file cannot be read.
    """
    token, user, password = (environment.get(name, "") for name in (TOKEN, USER, PASSWORD))
    if token and (user or password):
        msg = f"Both {TOKEN} and {USER} or {PASSWORD} are set; unset one of them."
        raise UsageError(msg)
    if bool(user) != bool(password):
        given, missing = (USER, PASSWORD) if user else (PASSWORD, USER)
        msg = f"{given} is set, but {missing} is not; set both, or neither."
        raise UsageError(msg)
    if token:
        if not (token.isascii() and token.isprintable()) or " " in token:
            msg = f"{TOKEN} holds characters that no token has; is there a line end in it?"
            raise UsageError(msg)
        return Credentials(f"Bearer {token}", TOKEN)
    if user:
        return Credentials(_basic(user, password, USER), f"{USER} and {PASSWORD}")
    return _from_netrc(host, netrc_file, environment)


def _from_netrc(host: str, wanted: Path | None, environment: Mapping[str, str]) -> Credentials | None:
    path = wanted or _netrc_path(environment)
    if path is None:
        return None
    try:
        found = netrc.netrc(path).authenticators(host)
    except netrc.NetrcParseError as error:
        # The parser's own message may quote a password.
        msg = f"The netrc file {path} cannot be understood at line {error.lineno}; correct that line."
        raise UsageError(msg) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        msg = f"The netrc file {path} cannot be read ({reason}); correct its path or permissions."
        raise UsageError(msg) from None
    if found is None or not found[0]:
        return None
    return Credentials(_basic(found[0], found[2] or "", str(path)), str(path))


def _netrc_path(environment: Mapping[str, str]) -> Path | None:
    named = environment.get("NETRC", "")
    if named:
        return Path(named)
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home raises where there is none)
    return next((path for name in (".netrc", "_netrc") if (path := home / name).is_file()), None)


def _basic(user: str, password: str, origin: str) -> str:
    if ":" in user:
        msg = f"The user name from {origin} holds a colon, which a user name cannot (RFC 7617)."
        raise UsageError(msg)
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
