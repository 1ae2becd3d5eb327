"""Stand-ins for the parts of the Slicer application that `slicer-core` does not have.

With them the module's panel runs on PySide6 and on the real MRML classes of slicer-core:
`qt` and `ctk`, `ScriptedLoadableModule`, `parameterNodeWrapper`, `slicer.i18n`, and as much of
`slicer.app` and `slicer.modules` as the panel touches. `slicer.util` is slicer-core's own.

What they prove: that the .ui files load, that every bound widget and its parameter follow each
other, that each button does its job, and that no attribute, property or signal is used that the
real widgets do not have (those are read from a record of a real Slicer, where it is at hand).

What they do not prove: how PythonQt converts values and handles ownership and exceptions, how
the real qMRML and ctk widgets look and behave, serialization by the real parameterNodeWrapper,
the subject hierarchy plugins, views and rendering, module discovery, Qt 5. For those the
module's own test class runs in the application.
"""

from .application import Desktop, FileDialog, application
from .database import FolderDatabase

__all__ = ["Desktop", "FileDialog", "FolderDatabase", "application"]
