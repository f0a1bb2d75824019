"""What a training stage gives to the loop: its batches, its loss and its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from training.run_state import Progress


class StepInput(Protocol):
    """A batch of a stage."""

    @property
    def labels(self) -> Tensor:
        """int64 [N, T], the target tokens, negative where padded."""

    @property
    def weight(self) -> float:
        """What the loss of the batch is a mean over; the batches of a step are weighted by it."""

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""


InputT = TypeVar("InputT", bound=StepInput)
InputT_co = TypeVar("InputT_co", bound=StepInput, covariant=True)


class EpochBatches(Protocol[InputT_co]):
    """The batches of one epoch, in a fixed order."""

    def __len__(self) -> int:
        """Return the number of batches."""

    def __getitem__(self, index: int) -> InputT_co:
        """Return one batch."""


@dataclass(frozen=True, slots=True)
class Stage(Generic[InputT]):
    """What a stage gives to the loop.

    Attributes:
        open_epoch: returns the batches of an epoch by its number.
        loss: returns the scalar to minimise for a batch, and figures to log.
        evaluate: returns figures of the current model.
        selection: the figure that selects the best model; greater is better.
        save_best: writes the checkpoint.
        evaluate_every_steps: steps between evaluations.
        patience: evaluations without a better one after which the run ends.
        config: the configuration, which a resumed run must equal.
        data: hashes of the files that the stage reads, which must be the same when it is resumed.
        evaluate_start: evaluate before the first step, so that a stage never ends with less than it began with.
        companion: a second model whose weights change with the run; saved and restored with it.
        before_step: called before the first batch of each step.
    """

    open_epoch: Callable[[int], EpochBatches[InputT]]
    loss: Callable[[InputT], tuple[Tensor, Mapping[str, Tensor]]]
    evaluate: Callable[[], Mapping[str, float]]
    selection: str
    save_best: Callable[[Mapping[str, float], Progress], None]
    evaluate_every_steps: int
    patience: int
    config: Mapping[str, Any] = field(default_factory=dict)
    data: Sequence[str] = ()
    evaluate_start: bool = False
    companion: nn.Module | None = None
    before_step: Callable[[], None] | None = None
