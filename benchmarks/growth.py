"""How vector search grows with the library: `python -m benchmarks.growth --captioned DIR [--sizes A,B,C]`.

`benchmarks.vectors` says what the vectors are made from. For each size Loupe's index is built anew and measured in
processes of its own, as in `benchmarks.filtered`. The exponent is that of a power of the size, fitted to all sizes by
least squares of the logarithms: 0 does not grow, 1 grows as the library does.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from rich.table import Table

from benchmarks.engines import Measured
from benchmarks.filtered import LOUPE, measured
from benchmarks.measures import CAPTIONED, CONSOLE, COUNT
from benchmarks.vectors import CACHE, QUERIES, ROWS, Kind, Split, asked, made, photographs, queries_of

_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_MIB: Final = 1 << 20


class Row(msgspec.Struct, frozen=True):
    """One figure at each size, and the exponent of its growth."""

    what: str
    values: Sequence[float]
    exponent: float


def _sizes(context: click.Context, option: click.Parameter, told: str) -> Sequence[int]:
    """Numbers of vectors, with commas between."""
    return [ROWS(size, option, context) for size in told.split(",")]


@click.command()
@click.option("--captioned", type=CAPTIONED, required=True, help="Photographs with captions (captions.csv, images/).")
@click.option(
    "--sizes",
    callback=_sizes,
    default="10000,100000,1000000",
    show_default=True,
    help="How many vectors, smallest first.",
)
@click.option("--queries", type=QUERIES, default=100, show_default=True, help="How many of each kind.")
@click.option("--minutes", type=COUNT, default=60, show_default=True, help="How long building may take.")
@click.option("--cache", type=_FOLDER, default=CACHE, help="Where vectors and indexes are kept.")
@click.option("--json", "as_json", type=_FILE, help="Write the figures here too.")
def main(captioned: Path, sizes: Sequence[int], queries: int, minutes: int, cache: Path, as_json: Path | None) -> None:
    """Measure Loupe's vector index at several sizes."""
    projected = photographs(captioned, cache).projected()
    questions = queries_of(projected, Split.reported, queries)
    runs = []
    for count in sizes:
        vectors = made(projected.base, count, cache)
        kept = asked(vectors, questions, f"{Split.reported}-{queries}")
        run = measured([LOUPE], vectors, kept, queries, 60 * minutes, rebuild=True)
        if run.failed:
            raise click.ClickException(f"{count:,} vectors: {run.failed[LOUPE]}")
        runs.append(run.engines[LOUPE])
    rows = list(_rows(sizes, runs))
    CONSOLE.print(_table(sizes, rows))
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")


def _rows(counts: Sequence[int], runs: Sequence[Measured]) -> Iterator[Row]:
    """Building, opening, memory, and each case of latency and recall."""
    for what, values in (
        ("build, s", [run.build_seconds for run in runs]),
        ("on disk, MiB", [run.bytes / _MIB for run in runs]),
        ("open, s", [run.open_seconds for run in runs]),
        ("resident, MiB", [run.resident - run.before for run in runs]),
    ):
        yield Row(what, values, _exponent(counts, values))
    for kind in Kind:
        for place, cell in enumerate(runs[0].cells):
            if cell.query == kind:
                values = [run.cells[place].median for run in runs]
                name = f"{kind}, {cell.kept} {100 * cell.share:g} %, ms"
                yield Row(name, values, _exponent(counts, values))
    yield Row("recall@10, worst case", [min(cell.recall for cell in run.cells) for run in runs], 0.0)


def _exponent(counts: Sequence[int], values: Sequence[float]) -> float:
    """The slope of the logarithm of the values over that of the sizes; 0 for one size."""
    if len(counts) < 2:
        return 0.0
    return float(np.polyfit(np.log(counts), np.log(np.maximum(values, 1e-3)), 1)[0])


def _table(counts: Sequence[int], rows: Sequence[Row]) -> Table:
    made_of = Table(title="Vectors of 512 dimensions, single queries, k = 10, medians", title_justify="left")
    made_of.add_column("what")
    for count in counts:
        made_of.add_column(f"{count:,}", justify="right")
    made_of.add_column("exponent", justify="right")
    for row in rows:
        made_of.add_row(row.what, *(f"{value:,.4g}" for value in row.values), f"{row.exponent:.2f}")
    return made_of


if __name__ == "__main__":
    main()
