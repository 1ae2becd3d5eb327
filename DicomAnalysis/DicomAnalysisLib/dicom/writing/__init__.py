"""DICOM objects that go back to the PACS: segmentation (SEG), structured report (SR), cleaned series.

Rules that hold for all of them:

- **Same input, same bytes.** UIDs are made from the source's UIDs, the program's version and the content
  (`identifiers.derived_uid`), never from chance; no date is the date of today. Content Date and Time are those
  of the source's first slice (else its acquisition, series or study date, else 1900-01-01), Instance Creation
  Date and Time are left out.
- **Patient and study are the source's**, as its first slice states them. What the source lacks and the standard
  demands is left empty where empty is allowed; nothing about the patient is made up.
- **What the source states in a form the standard forbids is put right or left out** (`repair`): a private
  element, a text of 70 characters where 64 are allowed, a value that is no date.
- **Explicit VR Little Endian, uncompressed.** A binary SEG may be compressed by no codec that Slicer's reader
  (dcmqi), highdicom and the validator have in common: RLE is not defined for one bit, JPEG 2000 of one bit is
  not read by dcmqi, and a deflated file not by dciodvfy.
- **Nothing is written for a source that has no valid UIDs**: nothing could refer to it.
"""
