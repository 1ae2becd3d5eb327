"""The HTTP session: certificates always verified, credentials and proxies set by us alone."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import UsageError
from .address import Address
from .credentials import Credentials
from .errors import PacsError

if TYPE_CHECKING:
    import requests


def make_session(address: Address, credentials: Credentials | None, ca_bundle: Path | None) -> requests.Session:
    """A session for one server.

    Certificates are checked against `ca_bundle` alone where it is given, else against those the
    system and certifi trust. Proxies are those of the environment (``HTTPS_PROXY``, ``NO_PROXY``),
    but none for this machine. Nothing else is taken from the environment or a netrc file behind
    our back (``trust_env`` is off).

    Raises
    ------
    PacsError
        If requests is not installed.
    UsageError
        If the CA bundle cannot be read.
    """
    try:
        import requests
        from requests.adapters import HTTPAdapter
    except ImportError as error:
        msg = "Talking to a PACS needs the package requests: pip install 'dicom-analysis[pacs]'."
        raise PacsError(msg) from error

    context = _tls_context(ca_bundle)

    class VerifyingAdapter(HTTPAdapter):
        """Gives every connection our TLS context, in which verification is required."""

        def init_poolmanager(self, *arguments: object, **keywords: object) -> None:
            super().init_poolmanager(*arguments, ssl_context=context, **keywords)

        def proxy_manager_for(self, proxy: str, **keywords: object) -> object:
            return super().proxy_manager_for(proxy, ssl_context=context, **keywords)

    class PlainSession(requests.Session):
        """Leaves redirections alone; requests would read their whole body, and parse what they say."""

        def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
            return None

    session = PlainSession()
    session.trust_env = False
    session.verify = str(ca_bundle) if ca_bundle else True
    session.proxies = {} if address.is_loopback else requests.utils.get_environ_proxies(str(address), None)
    session.mount("https://", VerifyingAdapter(pool_maxsize=1))
    session.mount("http://", HTTPAdapter(pool_maxsize=1))
    # What is compressed could swell without limit; DICOM has its own compression.
    session.headers.update({"User-Agent": f"dicom-analysis/{__version__}", "Accept-Encoding": "identity"})
    if credentials is not None:
        session.headers["Authorization"] = credentials.header
    return session


def _tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    try:
        # Verification and the check of the host name are on in what this makes.
        return ssl.create_default_context(cafile=str(ca_bundle) if ca_bundle else None)
    except (OSError, ssl.SSLError) as error:
        reason = "no PEM certificates" if isinstance(error, ssl.SSLError) else error.strerror
        msg = f"The CA bundle {ca_bundle} cannot be read ({reason}); correct its path."
        raise UsageError(msg) from error
