"""Headers read without walking them: the same as if they had been walked."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from dicom_slices import ramp, write_slice
from DicomAnalysisLib.dicom.header import RefusedFileError, read_header
from DicomAnalysisLib.dicom.indexing.conventions import INDEX_TAGS, CacheRows
from DicomAnalysisLib.dicom.indexing.scanner import Scanner
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, generate_uid


def expected(path: Path) -> tuple[list[str], dict] | str:
    """Row and tables from the header as it is walked, or why it is refused."""
    try:
        return describe(Scanner(), path)
    except RefusedFileError as error:
        return error.reason


def describe(scanner: Scanner, path: Path) -> tuple[list[str], dict]:
    record = scanner.scan(str(path))
    facts = record.facts
    return record.row, {"patient": facts.patient, "study": facts.study, "series": facts.series}


def outcome(scanner: Scanner, path: Path) -> list[str] | str:
    try:
        return scanner.scan(str(path)).row
    except RefusedFileError as error:
        return error.reason


class Counting(Scanner):
    """Counts the headers that were walked."""

    walks = 0

    def _walk(self, *arguments):
        self.walks += 1
        return super()._walk(*arguments)


def test_every_file_at_hand_in_any_order(shared_data) -> None:
    paths = sorted(path for path in shared_data.rglob("*") if path.is_file())
    rows = {}
    for path in paths:
        found = expected(path)
        rows[path] = found if isinstance(found, str) else found[0]
    scanner = Counting()
    for seed in range(3):
        random.Random(seed).shuffle(paths)
        for path in paths:
            assert outcome(scanner, path) == rows[path], path
    assert scanner.walks < 2.2 * len(paths)


def test_first_of_a_series_gives_its_facts(shared_data) -> None:
    folder = shared_data / "head-pcir-ge-dental"
    scanner, seen = Counting(), set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found = expected(path)
        if isinstance(found, str):
            continue
        row, facts = describe(scanner, path)
        if row[CacheRows.SERIES] not in seen:
            assert (row, facts) == found
        seen.add(row[CacheRows.SERIES])
    assert scanner.walks < 40


SYNTAXES = {
    "explicit": {},
    "implicit": {"syntax": ImplicitVRLittleEndian},
    "big endian": {"syntax": ExplicitVRBigEndian},
    "deflated": {"syntax": DeflatedExplicitVRLittleEndian},
}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_values_that_vary_and_layouts_that_vary(tmp_path, syntax) -> None:
    """Same layout and other values, a value longer by two, an element more, another character set."""
    random_ = random.Random(4)
    paths = []
    for number in range(60):
        item = Dataset()
        item.ReferencedSOPInstanceUID = generate_uid(entropy_srcs=["reference", str(number)])
        nested = Dataset()
        nested.PurposeOfReferenceCodeSequence = Sequence([item])
        attributes = {
            "SeriesDescription": random_.choice(["abc", "abcd", "Schädel", "abcd "]),
            "SpecificCharacterSet": random_.choice(["ISO_IR 100", "ISO_IR 192"]),
            "SeriesInstanceUID": random_.choice(["1.2.3", "1.2.4"]),
            "StationName": "x" * random_.randrange(6),
            "ReferencedImageSequence": Sequence([nested] * random_.randrange(3)),
            "WindowCenter": random_.choice([40, 400]),
            "PatientComments": random_.choice([None, " leading space"]),
        }
        shape = random_.choice([(6, 5), (5, 6)])
        path = write_slice(tmp_path, ramp(number, shape), number, **attributes, **SYNTAXES[syntax])
        paths.append(path)
    scanner = Counting()
    for _ in range(3):
        for path in paths:
            found = expected(path)
            assert isinstance(found, tuple)
            assert describe(scanner, path)[0] == found[0]
    assert (scanner.walks < 100) == (syntax in ("explicit", "implicit"))


def test_the_row_holds_what_pydicom_reads(shared_data) -> None:
    import pydicom

    for path in sorted((shared_data / "cohort-tcga-luad-single-slices").glob("*.dcm"))[:5]:
        header = read_header(path, frozenset(INDEX_TAGS))
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        row = dict(zip(CacheRows.ORDER, Scanner().scan(str(path)).row, strict=True))
        for tag, text in row.items():
            if tag in dataset and str(dataset[tag].value) not in ("", "None") and tag in header:
                value = dataset[tag].value
                assert text == ("\\".join(map(str, value)) if dataset[tag].VM > 1 else str(value))
