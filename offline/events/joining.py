"""Feedback meets the answers that it names.

Each piece of feedback gets one outcome. Only `counted` ones change a row of `exposures`:

    counted           names a query that the answer showed, within the window after it
    duplicate         has the request, the event, the query and the event id of an earlier one
    ignored_key       its key is to be left out
    unknown_request   no answer has the request id
    reused_request    two different answers have it
    other_day         its answer is of a day that is not exported
    not_shown         its rank or its query was not shown, or they name two queries
    before_answer     it happened before the answer, by more than the tolerance
    late              it happened after the window
    no_viewer         the answer has no viewer, or one that is not among the users
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from offline.logs.engine import Engine
from offline.logs.schema import TABLES

COUNTED, DUPLICATE = "counted", "duplicate"
LEFT_OUT = (
    DUPLICATE, "ignored_key", "unknown_request", "reused_request", "other_day", "not_shown", "before_answer", "late",
    "no_viewer",
)  # fmt: skip

TOLERANCE_MS = 60_000
"""How far the clocks of a caller and of the service may differ."""

_MOST_ORDER_VALUE = float(TABLES["exposures"].ranges["order_value"][1])


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """What counts.

    Attributes:
        day: the log day whose answers are exported; all days when None.
        window_hours: feedback counts for so long after its answer.
        ignored_keys: ids of API keys whose feedback is left out.
    """

    day: int | None = None
    window_hours: float = 24.0
    ignored_keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Joined:
    """Expressions over the staged rows.

    Attributes:
        impressions: the table of that name.
        exposures: the table of that name.
        answers: distinct answers with `outcome`: `exported`, `reused_request`, `other_day` or `no_viewer`.
        feedback: with `outcome` as above.
    """

    impressions: ir.Table
    exposures: ir.Table
    answers: ir.Table
    feedback: ir.Table


def join(
    engine: Engine,
    answers: ir.Table,
    offers: ir.Table,
    feedback: ir.Table,
    viewers: pa.Table | None,
    settings: JoinSettings,
) -> Joined:
    """Join staged rows (`staging.SCHEMAS`).

    Args:
        engine: holds the rows.
        answers: staged answers.
        offers: staged offered queries.
        feedback: staged feedback.
        viewers: `pseudonym` and `viewer`; the ids of the events are used as they are when None.
        settings: what counts.
    """
    judged = engine.keep(_judged_answers(engine, answers, viewers, settings))
    exported = engine.name(judged.filter(judged.outcome == "exported"))
    offered = offers.semi_join(exported, ["request_id", "digest"])
    # A line that comes twice has the same rows twice.
    offered = engine.keep(
        offered.group_by("request_id", "query").agg(position=offered.position.max(), policy=offered.policy.max())
    )
    outcomes = engine.keep(_outcomes(feedback, judged, offered, settings))
    effects = _effects(outcomes.filter(outcomes.outcome == COUNTED))
    return Joined(_impressions(exported), _exposures(exported, offered, effects), judged, outcomes)


def _judged_answers(engine: Engine, answers: ir.Table, viewers: pa.Table | None, settings: JoinSettings) -> ir.Table:
    distinct = answers.distinct()
    copies = distinct.group_by("request_id").agg(copies=distinct.count())
    rows = distinct.inner_join(copies, "request_id")
    if viewers is None:
        rows = rows.mutate(viewer=rows.user_id)
    else:
        known = engine.load(viewers)
        rows = rows.left_join(known, rows.user_id == known.pseudonym).drop("pseudonym")
    other_day = ibis.literal(False) if settings.day is None else rows.day != settings.day
    return rows.mutate(
        outcome=ibis.cases(
            (rows.copies > 1, "reused_request"),
            (other_day, "other_day"),
            (rows.viewer.isnull(), "no_viewer"),
            else_="exported",
        )
    )


def _outcomes(feedback: ir.Table, judged: ir.Table, offered: ir.Table, settings: JoinSettings) -> ir.Table:
    # The judgement is the same for all answers of a request id, but for the day and the viewer of a reused one.
    requests = judged.group_by(known=judged.request_id).agg(
        answer=judged.outcome.max(), reused=judged.copies.max() > 1, answered_ms=judged.time_ms.min()
    )
    shown = offered.filter(offered.position > 0)
    by_rank = shown.select(at_request=shown.request_id, at_rank=shown.position, named_by_rank=shown.query)
    by_text = shown.select(of_request=shown.request_id, of_query=shown.query, shown_at=shown.position)
    rows = feedback.left_join(requests, feedback.request_id == requests.known)
    rows = rows.left_join(by_rank, [rows.request_id == by_rank.at_request, rows.rank == by_rank.at_rank])
    rows = rows.left_join(by_text, [rows.request_id == by_text.of_request, rows.query == by_text.of_query])
    by_name = rows.query.notnull()
    not_shown = (
        (rows.rank.notnull() & rows.named_by_rank.isnull())
        | (by_name & rows.shown_at.isnull())
        | (by_name & rows.rank.notnull() & (rows.shown_at != rows.rank)).fill_null(False)
    )
    window_ms = round(settings.window_hours * 3_600_000)
    ignored = rows.key_id.isin(list(settings.ignored_keys)).fill_null(False) if settings.ignored_keys else False
    first = ibis.cases(
        (ibis.literal(ignored) if ignored is False else ignored, "ignored_key"),
        (rows.known.isnull(), "unknown_request"),
        (rows.reused, "reused_request"),
        (rows.answer != "exported", rows.answer),
        (not_shown, "not_shown"),
        (rows.happened_ms < rows.answered_ms - TOLERANCE_MS, "before_answer"),
        (rows.happened_ms > rows.answered_ms + window_ms, "late"),
        else_=COUNTED,
    )
    rows = rows.mutate(outcome=first, named=ibis.coalesce(rows.query, rows.named_by_rank))
    place = ibis.row_number().over(
        group_by=["request_id", "event", "named", "event_id", "outcome"], order_by=["time_ms", "digest"]
    )
    rows = rows.mutate(place=place)
    outcome = ibis.ifelse((rows.outcome == COUNTED) & (rows.place > 0), DUPLICATE, rows.outcome)
    return rows.select("request_id", "event", "order_value", "key_id", query="named", outcome=outcome)


def _effects(counted: ir.Table) -> ir.Table:
    """Return what counted feedback says of each shown query: `engaged` and `order_value`. A row means a click."""
    return counted.group_by("request_id", "query").agg(
        engaged=counted.event.isin(["engagement", "order"]).any(), order_value=counted.order_value.sum()
    )


def _impressions(exported: ir.Table) -> ir.Table:
    return exported.select(
        impression_id="request_id",
        day=exported.day.cast("int32"),
        ts="time_ms",
        user_id="viewer",
        photo_id="photo_id",
    )


def _exposures(exported: ir.Table, offered: ir.Table, effects: ir.Table) -> ir.Table:
    days = exported.select(answer="request_id", day="day")
    rows = offered.inner_join(days, offered.request_id == days.answer)
    found = effects.select(
        by="request_id", on="query", clicked=ibis.literal(True), engaged="engaged", spent="order_value"
    )
    rows = rows.left_join(found, [rows.request_id == found.by, rows.query == found.on])
    return rows.select(
        impression_id="request_id",
        day=rows.day.cast("int32"),
        position=rows.position.cast("int32"),
        query="query",
        policy="policy",
        clicked=rows.clicked.fill_null(False),
        engaged=rows.engaged.fill_null(False),
        order_value=ibis.least(rows.spent.fill_null(0.0), _MOST_ORDER_VALUE),
    )
