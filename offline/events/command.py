"""`onebar events`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from offline.errors import SettingsError
from offline.events.export import export as export_events
from offline.events.joining import JoinSettings
from offline.events.sources import DEFAULT_STREAM, lines_of
from offline.events.viewers import viewers_of
from offline.logs.engine import Engine, open_engine
from offline.logs.faults import cast_columns, day_zero

_SETTINGS = JoinSettings()


@click.group()
def events() -> None:
    """Turn the events of the service into log tables."""


@events.command()
@click.argument("sinks", metavar="[SINK]", nargs=-1)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--day", type=click.IntRange(0), help="Only this log day. Default: all days of the events.")
@click.option("--stream-url", envvar="ONEBAR_EVENTS__URL", show_envvar=True,
              help="The Redis of the stream, without SINK. The arguments of a command are visible to other users of"
                   " the machine, its environment is not.")  # fmt: skip
@click.option("--stream", default=DEFAULT_STREAM, show_default=True, help="Key of the stream in Redis.")
@click.option("--logs", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Log tables whose days and users count. Default: OUT.")  # fmt: skip
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]),
              help="The date (UTC) of log day 0. Default: as in the impressions of LOGS.")  # fmt: skip
@click.option("--user-key", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Keys of pseudonyms: viewers become the users of LOGS.")  # fmt: skip
@click.option("--window-hours", type=click.FloatRange(0, 24 * 365), default=_SETTINGS.window_hours, show_default=True,
              help="Feedback counts for so long after its answer.")  # fmt: skip
@click.option("--ignore-key", "ignored_keys", multiple=True, metavar="ID", help="Leave out the feedback of an API key.")
@click.option("--keep-rows", is_flag=True,
              help="Keep rows of the files before whose answers the events no longer have.")  # fmt: skip
@click.option("--memory", default="1GB", show_default=True, help="DuckDB spills to disk above it.")
def export(
    sinks: tuple[str, ...],
    out: Path,
    stream_url: str | None,
    day: int | None,
    stream: str,
    logs: Path | None,
    first_day: datetime | None,
    user_key: Path | None,
    window_hours: float,
    ignored_keys: tuple[str, ...],
    keep_rows: bool,
    memory: str,
) -> None:
    """Write what the service showed, and what viewers did with it, as tables of OUT.

    SINK is where the service writes its events: a JSON Lines file, a folder of such files (also the spool), or the URL
    of a Redis server, which is better given in ONEBAR_EVENTS__URL if it has a password. OUT gets
    impressions/day-D.parquet and exposures/day-D.parquet (docs/data_formats.md#events), and events_report.json.
    Feedback that names no shown query, or comes too late, is counted and left out.

    \b
    onebar events export /var/log/onebar/events.jsonl logs --day 12 --user-key users.key
    onebar events export redis://events.internal:6379/0 logs --day 12 --user-key users.key
    ONEBAR_EVENTS__URL="$EVENTS_URL" onebar events export logs --day 12 --user-key users.key
    """
    if len(sinks) > 1 or not (sinks or stream_url):
        raise click.UsageError("name one SINK before OUT, or give the URL of a Redis in ONEBAR_EVENTS__URL")
    sink = sinks[0] if sinks else str(stream_url)
    engine = open_engine(memory=memory)
    logs = logs or out
    zero = _day_zero(logs, first_day, engine)
    viewers = viewers_of(logs, user_key, engine) if user_key else None
    settings = JoinSettings(day, window_hours, ignored_keys)
    report = export_events(lines_of(sink, stream), out, engine, zero, settings, viewers, keep_rows)
    click.echo(report.to_text())


def _day_zero(logs: Path, first_day: datetime | None, engine: Engine) -> int:
    """Return the days from 1970 to log day 0, by an option or as most impressions have it."""
    if first_day is not None:
        return (first_day.replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC)).days
    if engine.search(str(logs), "impressions") is not None:
        where = f"{logs}/impressions"
        impressions = cast_columns(engine.read(logs, "impressions"), "impressions", where)
        with engine.reading(where):
            found = engine.fetch(day_zero(impressions))["zero"].to_pylist()
        if found:
            return int(found[0])
    raise SettingsError(f"{logs} has no impressions that say when log day 0 was; give its date with --first-day")
