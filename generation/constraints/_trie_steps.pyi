from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def follow(
    tokens: NDArray[np.int32],
    first_child: NDArray[np.int32],
    states: list[int],
    beam_indices: Sequence[int],
    beam_tokens: Sequence[int],
) -> list[int]: ...
def best(
    tokens: NDArray[np.int32],
    first_child: NDArray[np.int32],
    nodes: list[int],
    logprobs: NDArray[np.float32],
    sums: Sequence[float],
    wanted: int,
) -> tuple[list[float], list[int], list[int]]: ...
