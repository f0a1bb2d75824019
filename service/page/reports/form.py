"""The one form in which the page gets every report: tables, and plots of bars. Everything in it is bounded."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT: Final = "onebar-report-1"

MAX_TABLES = 24
MAX_PLOTS = 12
MAX_ROWS = 120
MAX_COLUMNS = 14
MAX_BARS = 40
MAX_TEXT = 300

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Cell = Text | int | float | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Table(_Part):
    """A table; ``columns`` are its heads, and every row has as many cells."""

    title: Text
    columns: list[Text] = Field(min_length=1, max_length=MAX_COLUMNS)
    rows: list[Annotated[list[Cell], Field(max_length=MAX_COLUMNS)]] = Field(max_length=MAX_ROWS)

    @model_validator(mode="after")
    def _rectangular(self) -> Table:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("a row has another number of cells than there are columns")
        return self


class Bar(_Part):
    """A bar of a plot: its value and, where there is one, its interval."""

    label: Text
    value: float = Field(ge=0)
    low: float | None = Field(default=None, ge=0)
    high: float | None = Field(default=None, ge=0)
    paper: bool = Field(default=False, description="Whether it is a figure of the paper, on other data.")


class Plot(_Part):
    """Horizontal bars of one quantity."""

    title: Text
    unit: Text = ""
    bars: list[Bar] = Field(min_length=1, max_length=MAX_BARS)


class Report(_Part):
    """One report.

    A file in this form has the key ``format`` too, with the value of FORMAT.
    """

    format: Literal["onebar-report-1"] = FORMAT
    title: Text
    command: Text | None = Field(default=None, description="What made it.")
    made: Text | None = Field(default=None, description="Time, commit, machine.")
    note: Text | None = None
    tables: list[Table] = Field(default=[], max_length=MAX_TABLES)
    plots: list[Plot] = Field(default=[], max_length=MAX_PLOTS)
