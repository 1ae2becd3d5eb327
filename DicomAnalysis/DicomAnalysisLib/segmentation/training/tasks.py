"""The networks that are trained here, by task: what they are given and what comes out."""

from __future__ import annotations

from ...errors import UsageError
from ...networks.architectures import ModelDescription
from ..network import grid, metal

VERSION = "1.0.0"
_STANDARD, _SMALL = (16, 32, 64, 128, 128), (8, 16, 32, 32)


def model_description(task: str, small: bool = False) -> ModelDescription:
    """The network for a task, untrained.

    A U-Net with residual units on MONAI's `UNet`: of the U-Nets MONAI has it is the fastest on a
    laptop's processor at this size (a quarter of `BasicUNet`'s time), since most of its work is
    done on halved slices. Batch norm, because it folds into the convolutions when the network is
    used, and does not depend on how much air is around the patient.

    Parameters
    ----------
    task : str
        ``headrest`` or ``metal``.
    small : bool
        A network for tests and first looks.
    """
    channels = _SMALL if small else _STANDARD
    architecture = {
        "network": "UNet",
        "spatial_dims": 2,
        "channels": list(channels),
        "strides": [2] * (len(channels) - 1),
        "num_res_units": 1,
        "norm": "BATCH",
    }
    if task == "headrest":
        return ModelDescription(
            "headrest",
            VERSION,
            task,
            {**architecture, "in_channels": grid.CHANNELS, "out_channels": len(grid.CLASSES)},
            {
                "modality": "CT",
                "block_mm": grid.BLOCK_MM,
                "neighbouring_layers": 1,
                "windows_hu": [list(grid.WIDE_HU)] * 3 + [list(grid.NARROW_HU)],
                "last_channel": "the classical method: 1 patient, -1 support",
            },
            {"classes": list(grid.CLASSES)},
        )
    if task == "metal":
        return ModelDescription(
            "metal",
            VERSION,
            task,
            {
                # Unlike MONAI's UNet it works at full resolution at both ends: implants are a few pixels wide.
                "network": "BasicUNet",
                "spatial_dims": 2,
                "in_channels": 3,
                "out_channels": 2,
                "features": [8, 8, 16, 16, 16, 8] if small else [16, 24, 32, 48, 64, 16],
                "norm": "batch",
            },
            {
                "modality": "CT",
                "channels": ["HU/1000 from -1.024 to 3.071", "log2(max(HU, 3071)/3071)/3", "pixel size in mm"],
                "spacing": "as acquired; trained on 0.49 to 0.98 mm",
            },
            {"classes": list(metal.CLASSES)},
        )
    msg = f"There is no network for the task {task!r}; choose headrest or metal."
    raise UsageError(msg)
