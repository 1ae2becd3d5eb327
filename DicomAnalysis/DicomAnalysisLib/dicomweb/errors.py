"""What can go wrong between here and a PACS.

Messages carry the address without credentials and query, UIDs, and what to do.
"""

from __future__ import annotations

from ..errors import DicomAnalysisError


class PacsError(DicomAnalysisError):
    """Base of every error in talking to a DICOMweb server."""


class TransientError(PacsError):
    """What may go away by itself, and is therefore tried again.

    Attributes
    ----------
    retry_after_s : float
        How long the server asks to wait; 0 where it does not say.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerUnavailableError(TransientError):
    """The server cannot be reached, does not answer in time, or says that it is busy."""


class ServerFailedError(TransientError):
    """The server met an error of its own (HTTP 500 and the like)."""


class InterruptedTransferError(TransientError):
    """A transfer ended early, or became too slow to go on."""


class CertificateError(PacsError):
    """The server's TLS certificate cannot be verified."""


class CredentialsError(PacsError):
    """The server wants credentials, or refuses those it got."""


class RedirectError(PacsError):
    """The server sends us to another server, to which neither credentials nor data are taken."""


class NotOnServerError(PacsError):
    """The server has nothing of the kind that was asked for."""


class RefusedRequestError(PacsError):
    """The server refuses a request.

    Attributes
    ----------
    status : int
        Its HTTP status.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class BadResponseError(PacsError):
    """The server's answer is not what DICOMweb says it should be, is too long, or is about something else."""


class NotStoredError(PacsError):
    """The server did not store an object."""
