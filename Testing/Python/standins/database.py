"""Stand-in for `ctkDICOMDatabase`: DICOM files of a folder by the names of the real one's methods.

It does not prove what the real database stores; it answers from the headers of the files.
"""

from __future__ import annotations

from pathlib import Path


class FolderDatabase:
    """The methods that the module calls, and no others."""

    isOpen = True  # noqa: N815 (a property of the real one)
    databaseFilename = ""  # noqa: N815 (as that of a database in memory)

    def __init__(self, folder):
        import pydicom

        self._headers = {
            str(path): pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(Path(folder).rglob("*.dcm"))
        }

    def _values(self, wanted, **where):
        found = [
            str(getattr(header, wanted, ""))
            for header in self._headers.values()
            if all(str(getattr(header, name, "")) == value for name, value in where.items())
        ]
        return list(dict.fromkeys(found))

    def patients(self):
        return self._values("PatientID")

    def studiesForPatient(self, patient):  # noqa: N802
        return self._values("StudyInstanceUID", PatientID=patient)

    def seriesForStudy(self, study):  # noqa: N802
        return self._values("SeriesInstanceUID", StudyInstanceUID=study)

    def filesForSeries(self, uid):  # noqa: N802
        return [path for path, header in self._headers.items() if header.SeriesInstanceUID == uid]

    def instancesForSeries(self, uid, hits=-1):  # noqa: N802
        return self._values("SOPInstanceUID", SeriesInstanceUID=uid)[: hits if hits > 0 else None]

    def fieldForStudy(self, field, uid):  # noqa: N802
        return self._values(field, StudyInstanceUID=uid)[0]

    def fieldForSeries(self, field, uid):  # noqa: N802
        return self._values(field, SeriesInstanceUID=uid)[0]

    def descriptionForSeries(self, uid):  # noqa: N802
        return self.fieldForSeries("SeriesDescription", uid)

    def descriptionForStudy(self, uid):  # noqa: N802
        return (self._values("StudyDescription", StudyInstanceUID=uid) or [""])[0]

    def patientForStudy(self, uid):  # noqa: N802
        return self._values("PatientID", StudyInstanceUID=uid)[0]

    def nameForPatient(self, patient):  # noqa: N802
        return self._values("PatientName", PatientID=patient)[0]

    def fieldForPatient(self, field, patient):  # noqa: N802
        return self._values(field, PatientID=patient)[0]
