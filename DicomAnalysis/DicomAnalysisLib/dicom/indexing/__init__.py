"""Files into a DICOM database of Slicer's own format: ``indexer.index_files`` is the way in."""
