"""Which device computes, and in which numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
"""What a user may ask for; ``cuda:1`` and so on name one graphics card of several."""


def choose_device(wanted: str = "auto") -> torch.device:
    """The device that is asked for; for ``auto`` the fastest there is (CUDA, then MPS, then the CPU).

    Raises
    ------
    UsageError
        If it is unknown, or this computer or this build of torch has it not.
    """
    import torch

    kind, _, number = wanted.partition(":")
    if kind not in DEVICES or (number and (kind != "cuda" or not number.isdecimal())):
        msg = f"There is no device {wanted!r}. Choose one of {', '.join(DEVICES)}."
        raise UsageError(msg)
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
        return torch.device(kind)
    if kind == "cuda" and not torch.cuda.is_available():
        built = "for CUDA, but no usable graphics card was found" if torch.version.cuda else "without CUDA"
        msg = (
            f"The device cuda was asked for, but torch {torch.__version__} is built {built}. "
            "Choose auto or cpu, or install the build of torch for your graphics card."
        )
        raise UsageError(msg)
    if number and int(number) >= torch.cuda.device_count():
        msg = f"There is no device {wanted}: this computer has {torch.cuda.device_count()}, counted from cuda:0."
        raise UsageError(msg)
    if kind == "mps" and not _has_mps():
        msg = "The device mps was asked for, which only a Mac with Apple silicon has. Choose auto or cpu."
        raise UsageError(msg)
    return torch.device(wanted)


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The short floating-point type that is faster on a device; None where full precision is best.

    On CUDA bfloat16 from compute capability 8 on, else float16. On the CPU bfloat16 only where
    it computes in it (AVX512-BF16, AMX); elsewhere bfloat16 is emulated, and many times slower.
    """
    import torch

    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    if device.type == "cpu" and cpu_computes_bfloat16():
        return torch.bfloat16
    return None


def cpu_computes_bfloat16() -> bool:
    """Whether this CPU has units for bfloat16."""
    import torch

    # Public from torch 2.10 on; before, the answer is no, which costs speed and nothing else.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def device_name(device: torch.device) -> str:
    """A device in words, for a result or a benchmark: ``cpu`` or ``cuda (NVIDIA H200)``."""
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that the memory did not suffice: CUDA has a class for it, MPS, cuDNN and the CPU words."""
    import torch

    text = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(
        words in text for words in ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")
    )


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()
