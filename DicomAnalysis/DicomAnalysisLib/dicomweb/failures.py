"""From what requests and HTTP say to errors a user can act on."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus

from .address import shown
from .credentials import PASSWORD, TOKEN, USER, Credentials
from .errors import (
    CertificateError,
    CredentialsError,
    InterruptedTransferError,
    NotOnServerError,
    PacsError,
    RefusedRequestError,
    ServerFailedError,
    ServerUnavailableError,
)

ASK_FOR_ROOT = "Is --server the root of a DICOMweb service (of Orthanc: …/dicom-web)?"
BUSY = frozenset((408, 425, 429, 502, 503, 504))
"""Statuses that say that the server, or one behind it, cannot answer now."""


def connection_error(url: str, error: Exception) -> PacsError:
    """The named error for an exception from requests or urllib3 while a request was made."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message or "the certificate cannot be verified"
            return CertificateError(
                f"The TLS certificate of {shown(url)} is not trusted: {why}. If the server uses a certificate of "
                "your organisation, name its CA certificates with --ca-bundle or DICOM_ANALYSIS_CA_BUNDLE."
            )
    return ServerUnavailableError(
        f"{shown(url)} cannot be reached: {_reason(causes)}. Check the address and that the server is running."
    )


def transfer_error(url: str, error: Exception) -> PacsError:
    """The named error for an exception while an answer was read."""
    return InterruptedTransferError(f"The answer of {shown(url)} broke off: {_reason(list(_causes(error)))}.")


def status_error(
    url: str, status: int, headers: Mapping[str, str], credentials: Credentials | None, secure: bool = True
) -> PacsError:
    """The named error for an HTTP status of 400 and above."""
    where = shown(url)
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialsError(_unauthorized(where, credentials, secure))
    if status == HTTPStatus.FORBIDDEN:
        who = f"the credentials from {credentials.origin} are" if credentials else "without credentials we are"
        return RefusedRequestError(
            f"{where}: {who} not allowed to do this (HTTP 403); ask the PACS administrator.", 403
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotOnServerError(f"{where} does not exist on the server (HTTP 404). Check the UID. {ASK_FOR_ROOT}")
    if status in BUSY:
        return ServerUnavailableError(
            f"{where} is not available now ({_status_text(status)}). Try again later; what is done is kept.",
            _retry_after(headers),
        )
    if status >= 500:
        return ServerFailedError(f"The server failed at {where} ({_status_text(status)}); see its log for the reason.")
    hint = f" {ASK_FOR_ROOT}" if status == HTTPStatus.BAD_REQUEST else ""
    return RefusedRequestError(f"The server refused the request for {where} ({_status_text(status)}).{hint}", status)


def _unauthorized(where: str, credentials: Credentials | None, secure: bool) -> str:
    if credentials is not None:
        return f"{where} refused the credentials from {credentials.origin} (HTTP 401); correct them."
    text = f"{where} asks for credentials (HTTP 401); set {USER} and {PASSWORD}, or {TOKEN}, or use a netrc file."
    return text if secure else f"{text} They are sent to an https address only."


def _status_text(status: int) -> str:
    try:
        return f"HTTP {status}, {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header; a date there is not worth understanding."""
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those it came from, which requests and urllib3 keep in several places."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        linked = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting += [cause for cause in linked if isinstance(cause, BaseException)]


def _reason(causes: list[BaseException]) -> str:
    """Few words, none of them the server's or quoted from a header."""
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "its name is unknown"
        if isinstance(cause, ssl.SSLError):
            return f"no TLS connection ({(cause.reason or 'failed').replace('_', ' ').lower()})"
    for cause in causes:
        if "Timeout" in type(cause).__name__:
            return "no answer in time"
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return cause.strerror
    return "the connection was closed"
