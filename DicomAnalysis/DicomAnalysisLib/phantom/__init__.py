"""CT phantoms of the project's own, with the truth known for every voxel.

They serve the demo, the tests and the benchmarks. The same arguments give the same
voxels and the same UIDs on every machine.

Examples
--------
>>> from pathlib import Path
>>> from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
>>> phantom = make_head_phantom(shape=(20, 64, 64), spacing=(7.5, 3.6, 3.6))
>>> files = write_dicom_series(phantom.volume, Path("head"))  # doctest: +SKIP
"""

from .dicom_files import write_dicom_series
from .phantoms import Phantom, make_body_phantom, make_head_phantom

__all__ = ["Phantom", "make_body_phantom", "make_head_phantom", "write_dicom_series"]
