"""Names for the NumPy arrays that the offline jobs pass around."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

Matrix = npt.NDArray[np.float32]
"""Two-dimensional, one vector for each row."""
