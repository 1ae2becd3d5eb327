"""Results as files: NRRD, JSON, CSV, pictures; every write is atomic."""
