"""The address of a DICOMweb server, and how addresses are shown."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from ..errors import UsageError


@dataclass(frozen=True)
class Address:
    """Root of a DICOMweb service, for example ``https://pacs.example.org/dicom-web``.

    Attributes
    ----------
    scheme : str
        ``https`` or ``http``.
    host : str
        Without brackets for IPv6.
    port : int
    path : str
        Without a slash at its end.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: credentials are for these alone (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this machine, so that nothing travels over a network."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def url(self, *parts: str) -> str:
        """Address of a resource; each part is quoted, so that none leads elsewhere."""
        return "/".join((f"{_origin_text(*self.origin)}{self.path}", *(quote(part, safe="") for part in parts)))

    def __str__(self) -> str:
        return self.url()


def parse_address(text: str) -> Address:
    """Understand what a user gave as the server.

    Raises
    ------
    UsageError
        If it is no http or https address, or holds credentials (they would be seen in the
        list of processes and in logs).
    """
    advice = "give the root of its DICOMweb service, for example https://pacs.example.org/dicom-web"
    if "@" in text.partition("//")[2].partition("/")[0]:
        msg = (
            "The server address holds a user name or password, where other users can see it; put them into "
            "DICOM_ANALYSIS_USER and DICOM_ANALYSIS_PASSWORD or into a netrc file."
        )
        raise UsageError(msg)
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        msg = f"{text!r} is not the address of a server; {advice}."
        raise UsageError(msg)
    default = 443 if parts.scheme == "https" else 80
    return Address(parts.scheme, parts.hostname, port or default, parts.path.rstrip("/"))


def redirect_target(url: str, location: str) -> tuple[str, tuple[str, str, int] | None]:
    """Where a redirection leads: the address, and its origin (None where that is no web address)."""
    target = location
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    except (ValueError, KeyError):
        return target, None
    return target, (parts.scheme, parts.hostname or "", port)


def shown(url: str) -> str:
    """An address for messages: without credentials, and without a query, which may name a patient."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(an address that cannot be read)"
    text = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:400])


def _origin_text(scheme: str, host: str, port: int) -> str:
    default = {"https": 443, "http": 80}[scheme]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}" + (f":{port}" if port != default else "")
