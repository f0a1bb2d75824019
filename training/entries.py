"""The entries of many sources at once, as tensors on the device of the sources."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evidence.entries import FIELD_PLACES, FIRST_FIELD, PLACES
from training.batches import IGNORED_LABEL


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of B sources, at most E in one, of at most L - 1 tokens.

    Attributes:
        starts: int64 [B, E], positions of their first tokens.
        places: int64 [B, E], see `evidence.entries`.
        present: bool [B, E], False where padded.
        tokens: int64 [B, E, L], their tokens and </s>, IGNORED_LABEL behind it.
    """

    starts: Tensor
    places: Tensor
    present: Tensor
    tokens: Tensor


def locate_entries(source: Tensor, lengths: Tensor, separator: int, between: int, end: int) -> Entries:
    """Find what `evidence.entries.find_entries` finds. A loop over rows would take longer than a step on a GPU.

    Args:
        source: int64 [B, S].
        lengths: int64 [B], tokens of each source without padding.
        separator: the token between two fields.
        between: the token between two queries of a field.
        end: the token </s>.
    """
    rows, longest = source.shape
    position = torch.arange(longest, device=source.device)
    last = (lengths - 1)[:, None]
    separates = (source == separator) & (position <= last)
    delimits = separates | ((source == between) & (position <= last)) | (position == last)  # [B, S]
    start = 1 + _before(torch.where(delimits, position, -1).cummax(dim=1).values, -1)
    field = _before(separates.cumsum(dim=1), 0) - FIRST_FIELD
    ends = delimits & (start > 0) & (start < position) & (field >= 0) & (field * PLACES < FIELD_PLACES)
    count = ends.cumsum(dim=1)
    index = count - 1  # of the entry that ends here, in its source
    rank = index - _before(torch.where(separates, count, 0).cummax(dim=1).values, 0)

    row, stop = ends.nonzero(as_tuple=True)
    first = start[row, stop]
    size = stop - first
    # One transfer for both sizes.
    most, widest = torch.stack([count[:, -1].max(), F.pad(size, (0, 1)).max()]).tolist()
    starts = torch.zeros(rows, max(1, most), dtype=torch.int64, device=source.device)
    stops, places, present = starts.clone(), starts.clone(), torch.zeros_like(starts, dtype=torch.bool)
    where = (row, index[row, stop])
    starts[where], stops[where], present[where] = first, stop, torch.ones_like(stop, dtype=torch.bool)
    places[where] = field[row, stop] * PLACES + rank[row, stop].clamp(max=PLACES - 1)

    at = starts[:, :, None] + torch.arange(1 + widest, device=source.device)  # [B, E, L]
    tokens = source.gather(1, at.clamp(max=longest - 1).flatten(1)).view_as(at)
    tokens = torch.where(at == stops[:, :, None], end, tokens)
    return Entries(
        starts, places, present, tokens.masked_fill((at > stops[:, :, None]) | ~present[:, :, None], IGNORED_LABEL)
    )


def _before(values: Tensor, first: int) -> Tensor:
    """Shift [B, S] by one position: what stands before each position."""
    return F.pad(values[:, :-1], (1, 0), value=first)
