"""The one family of errors this library raises for what a user can mend.

Every message says what happened, to which file or series, and what to do.
Messages carry UIDs and paths, never patient names or birth dates.
"""

from __future__ import annotations


class DicomAnalysisError(Exception):
    """Base of every error that is the data's or the user's, not a bug of ours."""


class UsageError(DicomAnalysisError):
    """An option or argument that cannot be used; the command line ends with 2."""


class SourceError(DicomAnalysisError):
    """A file, folder or database cannot be opened or holds nothing to read."""


class UnreadableFileError(DicomAnalysisError):
    """One file is not readable DICOM, or is not an image we can place in space."""


class DecodingError(UnreadableFileError):
    """The pixel data of one instance cannot be decoded."""


class GeometryError(DicomAnalysisError):
    """Slices cannot be placed in space, or a regular grid was asked for where there is none."""


class TaskError(DicomAnalysisError):
    """A task cannot be done on this volume (for example metal on an MR series)."""


class OutputError(DicomAnalysisError):
    """A result cannot be written where it was asked for."""


class ModelError(DicomAnalysisError):
    """A model's file is missing, changed, or holds what this program does not run."""
