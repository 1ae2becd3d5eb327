"""DicomAnalysis: headrest, table and metal in CT, from DICOM to segments, tables and DICOM objects.

Importing this package imports nothing heavy; each room imports what it needs.
"""

__version__ = "0.1.0"
