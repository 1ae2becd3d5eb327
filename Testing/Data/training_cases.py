"""What training of segmentation is tried on: a cohort of phantoms, and an amount that takes seconds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from DicomAnalysisLib.phantom import make_head_phantom
from DicomAnalysisLib.phantom.dicom_files import write_dicom_series
from DicomAnalysisLib.segmentation.training.options import SizeOfTraining

TINY = SizeOfTraining(pixels=64, training=8, validation=4, scenes=8, learning_rate=5e-3)

_PROGRAM = """#!{python}
import sys
sys.path[:0] = {path!r}
import torch
from DicomAnalysisLib import worker
from DicomAnalysisLib.segmentation.training.options import SIZES_OF_TRAINING
from training_cases import TINY
SIZES_OF_TRAINING["small"] = TINY
torch.set_num_threads(1)
sys.exit(worker.main(sys.argv[4:]))
"""


def write_cohort(folder: Path, patients: int = 3) -> list[str]:
    """Write head phantoms of different patients as DICOM; their Series Instance UIDs."""
    uids = []
    for number in range(patients):
        volume = make_head_phantom(shape=(16, 96, 96), spacing=(7.0, 2.4, 2.4), seed=number, contact=False).volume
        identity = replace(volume.identity, patient_id=f"P{number}")
        write_dicom_series(replace(volume, identity=identity), folder / f"{number}")
        uids.append(identity.series_uid)
    return uids


def tiny_worker(folder: Path) -> str:
    """A program to be given as ``python`` to a JobProcess: the worker, where the small size is a tiny one."""
    path = folder / "worker"
    path.write_text(_PROGRAM.format(python=sys.executable, path=sys.path), encoding="utf-8")
    path.chmod(0o755)
    return str(path)
