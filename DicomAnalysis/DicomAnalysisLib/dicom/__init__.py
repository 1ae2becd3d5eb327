"""DICOM in and out: sources, series and their geometry, reading, writing objects."""
