"""Slicer's own ways to ask the user and to install packages, for `DicomAnalysisLib.dependencies`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from subprocess import CalledProcessError

import slicer

REQUESTER = "DicomAnalysis"


class SlicerInstaller:
    """Asks in a dialogue; installs with `slicer.packaging` and, for torch, with the extension PyTorch."""

    def confirm(self, title: str, text: str) -> bool:
        """One question for all that is needed."""
        return bool(slicer.util.confirmOkCancelDisplay(text, title))

    def install(self, requirements: Sequence[str], constraints: Path) -> None:
        """Install from the index; Slicer shows the progress."""
        import slicer.packaging

        with tempfile.TemporaryDirectory() as folder, _what_is_printed() as printed:
            file = Path(folder) / "requirements.txt"
            file.write_text("\n".join(requirements), encoding="utf-8")
            try:
                slicer.packaging.pip_ensure(
                    slicer.packaging.load_requirements(file),
                    constraints=constraints,
                    prompt_install=False,  # it was asked, with more to go by
                    requester=REQUESTER,
                )
            except CalledProcessError as error:
                # The error carries an exit code alone; why it failed is in what pip printed.
                raise RuntimeError("".join(printed) or str(error)) from error

    def install_torch(self, specifier: str, constraints: Path) -> None:
        """Install the build for this computer's graphics card; Slicer waits meanwhile."""
        import PyTorchUtils

        before = os.environ.get("PIP_CONSTRAINT")
        os.environ["PIP_CONSTRAINT"] = str(constraints)
        try:
            with _what_is_printed() as printed, slicer.util.tryWithErrorDisplay(show=False, waitCursor=True):
                try:
                    PyTorchUtils.PyTorchUtilsLogic().installTorch(torchVersionRequirement=specifier)
                except CalledProcessError as error:
                    raise RuntimeError("".join(printed) or str(error)) from error
        finally:
            if before is None:
                del os.environ["PIP_CONSTRAINT"]
            else:
                os.environ["PIP_CONSTRAINT"] = before


@contextmanager
def _what_is_printed() -> Iterator[list[str]]:
    """What is printed while the block lasts; it is printed all the same."""
    output, printed = sys.stdout, []

    class Copy:
        def write(self, text: str) -> int:
            printed.append(text)
            output.write(text)
            return len(text)

        def flush(self) -> None:
            output.flush()

    with redirect_stdout(Copy()):
        yield printed
