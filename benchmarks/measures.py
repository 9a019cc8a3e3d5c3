"""Measures of rankings with their uncertainty: hit@k, reciprocal rank, nDCG, and the bootstrap over queries.

The measures are ir-measures' (MacAvaney, Macdonald, Ounis 2022). An interval is the middle 95 % of the means of 2,000
samples of the queries drawn with replacement (Efron 1979; for retrieval: Sakai 2006). Runs over the same queries are
compared by the same draw over the differences, query by query.
"""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import ir_measures
import msgspec
import numpy as np
from ir_measures import RR, Success, nDCG
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

#: What is printed, in this order.
MEASURES: Final = {"hit@1": Success @ 1, "hit@5": Success @ 5, "hit@10": Success @ 10, "MRR": RR, "nDCG@10": nDCG @ 10}

_SAMPLES: Final = 2000

#: As wide as the tables; where nobody watches, rich would fold them into 80 columns.
CONSOLE: Final = Console(width=None if sys.stdout.isatty() else 132)


class _Captioned(click.Path):
    """A folder of photographs with captions."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        folder = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not (folder / "captions.csv").is_file() or not (folder / "images").is_dir():
            self.fail(f"{folder} has no captions.csv (image, caption) with images/ beside it.", param, ctx)
        return folder


class _Amount(click.FloatRange):
    """More than nothing, and a number: no comparison is true of NaN, so a range lets it pass."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        amount = float(super().convert(value, param, ctx))
        if not math.isfinite(amount):
            self.fail(f"{value} is not a number in the range x>0.", param, ctx)
        return amount


CAPTIONED: Final = _Captioned()

#: How many of something there are, how many of it a median and 95 % are taken of, and how long or how often.
COUNT: Final = click.IntRange(min=1)
SAMPLE: Final = click.IntRange(min=10)
AMOUNT: Final = _Amount()


def memory_of(name: str, pid: int | str = "self") -> int:
    """What the system says of a process's memory, bytes: `VmRSS` is all that is resident, `RssAnon` what of it is in no
    file, `VmHWM` the most that was ever resident (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class Interval(msgspec.Struct, frozen=True):
    """A mean over queries and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [dim]{self.low:.2f}-{self.high:.2f}[/dim]"


class Row(msgspec.Struct, frozen=True):
    """One way to rank, over the queries of one set: each measure's value for each query, in the order of the set."""

    set: str
    ranked_by: str
    values: Mapping[str, list[float]]

    def interval(self, measure: str) -> Interval:
        return interval(self.values[measure])


def measured(set: str, ranked_by: str, relevant: Sequence[frozenset[str]], ranked: Sequence[Sequence[str]]) -> Row:
    """Measure rankings (names, best first), one a query, against the names that answer each query."""
    qrels = {str(query): dict.fromkeys(names, 1) for query, names in enumerate(relevant)}
    run = {
        str(query): {name: float(len(names) - place) for place, name in enumerate(dict.fromkeys(names))}
        for query, names in enumerate(ranked)
    }
    values = {name: [0.0] * len(relevant) for name in MEASURES}
    name_of = {str(measure): name for name, measure in MEASURES.items()}
    for one in ir_measures.iter_calc(list(MEASURES.values()), qrels, run):
        values[name_of[str(one.measure)]][int(one.query_id)] = round(one.value, 4)
    return Row(set, ranked_by, values)


def interval(values: Sequence[float]) -> Interval:
    """The mean of the values and where it lies in 95 of 100 samples."""
    means = _resampled(np.asarray(values, np.float64))
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(round(float(np.mean(values)), 4), round(float(low), 4), round(float(high), 4))


def _resampled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of samples drawn with replacement, float64 [samples]; the same draw for equally many values."""
    generator = np.random.default_rng(len(values))
    return np.array([values[generator.integers(len(values), size=len(values))].mean() for _ in range(_SAMPLES)])


def table(title: str, rows: Sequence[Row]) -> Table:
    """The rows with each measure's mean and interval."""
    made = Table(title=title, title_justify="left")
    for heading in ("set", "ranked by", "queries"):
        made.add_column(heading)
    for measure in MEASURES:
        made.add_column(measure, justify="right")
    for row in rows:
        cells = (str(row.interval(measure)) for measure in MEASURES)
        made.add_row(row.set, row.ranked_by, str(len(row.values["MRR"])), *cells)
    return made


def compared(before: Sequence[Row], now: Sequence[Row]) -> Table:
    """What changed between two runs over the same queries: differences of the means with their intervals."""
    made = Table(title="now less before (bold: the interval leaves out nought)", title_justify="left")
    for heading in ("set", "ranked by"):
        made.add_column(heading)
    for measure in MEASURES:
        made.add_column(measure, justify="right")
    known = {(row.set, row.ranked_by): row for row in before}
    for row in now:
        old = known.get((row.set, row.ranked_by))
        if old is None or len(old.values["MRR"]) != len(row.values["MRR"]):
            continue
        cells = []
        for measure in MEASURES:
            change = interval(np.subtract(row.values[measure], old.values[measure]).tolist())
            sure = change.low > 0 or change.high < 0
            cells.append(f"[bold]{change.mean:+.3f}[/bold]" if sure else f"{change.mean:+.3f}")
        made.add_row(row.set, row.ranked_by, *cells)
    return made
