"""Long pieces of work do not share a turn of the event loop; short ones do."""

from __future__ import annotations

import asyncio

import pytest

from service.answering.pacing import Pacer


async def turns_of(pieces: list[float], pacer: Pacer) -> list[int]:
    """Return the turn of the loop in which each piece of work began, all ready at once."""
    loop = asyncio.get_running_loop()
    turn = 0
    began: list[tuple[int, int]] = []

    def count() -> None:
        nonlocal turn
        turn += 1
        ticking[0] = loop.call_soon(count)

    async def work(number: int, seconds: float) -> None:
        await pacer.turn()
        began.append((number, turn))
        pacer.spent(seconds)

    ticking = [loop.call_soon(count)]
    await asyncio.gather(*(work(number, seconds) for number, seconds in enumerate(pieces)))
    ticking[0].cancel()
    assert [number for number, _ in began] == list(range(len(pieces)))  # in the order of arrival
    return [when for _, when in began]


async def test_each_long_piece_has_a_turn_of_its_own() -> None:
    turns = await turns_of([0.010] * 16, Pacer(0.002))
    assert len(set(turns)) == 16


async def test_short_pieces_share_a_turn() -> None:
    assert len(set(await turns_of([0.0001] * 16, Pacer(0.002)))) == 1


async def test_pieces_that_are_long_together_are_spread() -> None:
    turns = await turns_of([0.0005] * 16, Pacer(0.002))
    assert [turns.count(turn) for turn in sorted(set(turns))] == [4, 4, 4, 4]


async def test_a_request_that_is_cancelled_while_it_waits_delays_no_other() -> None:
    pacer = Pacer(0.002)
    pacer.spent(1.0)
    waiting = asyncio.create_task(pacer.turn())
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(pacer.turn(), 1.0)
