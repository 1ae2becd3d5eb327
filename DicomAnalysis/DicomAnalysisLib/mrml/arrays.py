"""VTK images and matrices as numpy arrays."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy


def image_array(image: vtk.vtkImageData) -> np.ndarray:
    """The voxels of a one-component image, shape (k, j, i); a view of VTK's memory."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def allocate(image: vtk.vtkImageData, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Give `image` memory for voxels of shape (k, j, i) and return it as an array to be filled.

    The memory is VTK's own, so that it lives as long as the node does.
    """
    image.SetDimensions(shape[::-1])
    image.AllocateScalars(get_vtk_array_type(dtype), 1)
    return image_array(image)


def to_vtk_matrix(matrix: np.ndarray) -> vtk.vtkMatrix4x4:
    """A 4x4 array as vtkMatrix4x4."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, np.float64).ravel().tolist())
    return result


def from_vtk_matrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """A vtkMatrix4x4 as 4x4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
