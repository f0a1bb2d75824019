"""int8: weights symmetric, one scale per output channel (design, section 4); activations unsigned, by one range.

Weights are stored as signed int8. At run time they are multiplied with activations in unsigned int8, quantised by
constants in the decoder and by the range of the whole tensor in the encoder (docs/adr/0020). VNNI and AMX have that
u8 x s8 product in hardware. All of -127..127 is used. Without those instructions that product can saturate in 16 bits;
`generation.session` asks ORT to widen the weights on such machines instead of halving their resolution on all
(docs/adr/0010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LIMIT = 127
LEVELS = 255


@dataclass(frozen=True, slots=True)
class ActivationRange:
    """The range of the values of an activation. It includes zero, which is represented exactly."""

    low: float
    high: float

    @property
    def scale(self) -> float:
        """The value of one integer step."""
        return (max(self.high, 0.0) - min(self.low, 0.0)) / LEVELS or 1.0

    @property
    def zero_point(self) -> int:
        """The integer that represents zero."""
        return round(-min(self.low, 0.0) / self.scale)


def quantize_rows(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise each row of a matrix on its own.

    Args:
        weight: [rows, columns]; a row is an output channel of a projection, or one token's embedding.

    Returns:
        int8 values [rows, columns] in -127..127, and scales [rows], so that values * scales[:, None] is near weight.
    """
    largest = np.abs(weight).max(axis=1)
    # A row of zeros (the padding embedding) quantises to zeros under any scale.
    scales = np.where(largest > 0, largest / LIMIT, 1.0).astype(np.float32)
    values = np.rint(weight / scales[:, None]).clip(-LIMIT, LIMIT).astype(np.int8)
    return values, scales
