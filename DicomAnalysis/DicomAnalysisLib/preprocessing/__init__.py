"""Functions from arrays to arrays: windows, resampling, cropping."""
