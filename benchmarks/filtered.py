"""Filtered nearest-neighbour search, Loupe and its peers in one run: `python -m benchmarks.filtered --captioned DIR`.

`benchmarks.vectors` says what is searched and how filters are made, `benchmarks.engines` how each engine is used. An
engine is built once and kept in the cache; it is measured in a process of its own, one after the other, single queries
on two cores, k = 10: with a filter that is new, which includes making one set of what it is made of where an engine is
given sets, and again with the same filter, as a person searches again; the quickest of three rounds. Each figure is for
the quickest of the efforts tried whose mean recall@10 reaches 0.99 against exact search within the filter; where none
does, for the one of best recall, which is then printed and does not count.

Milliseconds say as much of the machine as of an engine. So Loupe's are also told as parts of what FAISS takes to look
at all vectors, exactly, in the same run, and counted against goals that are such parts (`GOALS`).

The peers come with `pip install 'loupe-search[bench]'`; one that is not there, does not build in time or fails is
named with the reason.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.table import Table
from rich.text import Text

from benchmarks.engines import ENGINES, RECALL, Cell, Measured
from benchmarks.measures import CAPTIONED, CONSOLE, COUNT
from benchmarks.vectors import (
    CACHE,
    CASES,
    QUERIES,
    ROWS,
    Case,
    Kind,
    Made,
    Split,
    asked,
    made,
    photographs,
    queries_of,
)

LOUPE: Final = "Loupe"

#: A filter keeps few rows if it keeps no more than this part of all.
FEW: Final = 0.001


class Met(StrEnum):
    """How a filter is met: in parts that are to be united, as one set, or as one that was asked for before."""

    new = "new filters"
    united = "new filters, as one set"
    again = "filters asked for before"


#: What tells how long searches take, by how their filters are met: the median, and what 95 % take at most.
_TAKEN: Final = {Met.new: ("median", "p95"), Met.united: ("united", "united_p95"), Met.again: ("again", "again_p95")}


class Goal(msgspec.Struct, frozen=True):
    """What a search may take, as a part of an exact scan of everything: in all cases, or in those that keep `few`."""

    name: str
    part: float
    p95: bool = False
    few: bool = False


#: Where the scan takes 74 ms, as on the machine on which they were set: 2.5, 5, 0.3 and 20 ms, the last where all that
#: is near has to be ruled out.
GOALS: Final = (
    Goal("median, 1/30", 1 / 30),
    Goal("95 %, 1/15", 1 / 15, p95=True),
    Goal("median of a thousandth and less, 1/250", 1 / 250, few=True),
    Goal("95 % in the worst case, 1/3.7", 1 / 3.7, p95=True),
)


class Run(msgspec.Struct, frozen=True):
    """What came of each engine: figures, or the reason why there are none. `scan`: how many milliseconds FAISS takes to
    look at all rows, exactly (None: not measured)."""

    rows: int
    queries: int
    engines: Mapping[str, Measured]
    failed: Mapping[str, str]
    scan: float | None = None


_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--captioned", type=CAPTIONED, required=True, help="Photographs with captions (captions.csv, images/).")
@click.option("--rows", type=ROWS, default=100_000, show_default=True, help="How many vectors.")
@click.option("--queries", type=QUERIES, default=100, show_default=True, help="How many of each kind.")
@click.option("--peers", default=",".join(name for name in ENGINES if name != LOUPE), show_default=True)
@click.option("--minutes", type=COUNT, default=15, show_default=True, help="How long building one engine may take.")
@click.option("--cache", type=_FOLDER, default=CACHE, help="Where vectors and indexes are kept.")
@click.option("--rebuild", is_flag=True, help="Build Loupe's index again, also where one is kept.")
@click.option("--json", "as_json", type=_FILE, help="Write the figures here too.")
@click.option("--plot", type=_FILE, help="Write a picture (SVG) of them here.")
def main(
    captioned: Path,
    rows: int,
    queries: int,
    peers: str,
    minutes: int,
    cache: Path,
    rebuild: bool,
    as_json: Path | None,
    plot: Path | None,
) -> None:
    """Measure filtered search."""
    names = [LOUPE, *filter(None, (name.strip() for name in peers.split(",")))]
    if unknown := set(names) - set(ENGINES):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(ENGINES)}", param_hint="--peers")
    projected = photographs(captioned, cache).projected()
    vectors = made(projected.base, rows, cache)
    questions = asked(vectors, queries_of(projected, Split.reported, queries), f"{Split.reported}-{queries}")
    scan = scanned(vectors, questions)
    run = measured(names, vectors, questions, queries, 60 * minutes, rebuild=rebuild)
    run = msgspec.structs.replace(run, scan=scan)
    for kind in Kind:
        for met in (Met.new, Met.again):
            CONSOLE.print(_table(run, kind, met))
    CONSOLE.print(_worst(run))
    if LOUPE in run.engines:
        if len(run.engines) > 1:
            for met in (Met.new, Met.again):
                CONSOLE.print(_ratios(run, met))
        CONSOLE.print(_goals(run.engines[LOUPE].cells, scan))
    for name, reason in run.failed.items():
        CONSOLE.print(f"{name}: {reason}")
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    if plot:
        plot.write_text(picture(run), encoding="utf-8")


def measured(
    names: Sequence[str], vectors: Made, questions: Path, queries: int, seconds: int, *, rebuild: bool = False
) -> Run:
    """Build each engine unless it is kept, then measure it, each in a process of its own."""
    engines: dict[str, Measured] = {}
    failed: dict[str, str] = {}
    for name in names:
        index = vectors.folder / name.lower().replace(" ", "-")
        kept = index.with_suffix(".built.json").exists() and not (rebuild and name == LOUPE)
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            reason = "" if kept else _built(name, vectors, index, seconds)
            reason = reason or _child(["measure", name, *map(str, (vectors.folder, index, questions, out.name))], None)
            if reason:
                failed[name] = reason
            else:
                engines[name] = msgspec.json.decode(out.read(), type=Measured)
    return Run(len(vectors.rows), queries, engines, failed)


def scanned(vectors: Made, questions: Path) -> float:
    """How long FAISS takes to look at all rows, exactly, milliseconds."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        if reason := _child(["scan", str(vectors.folder), str(questions), out.name], None):
            raise click.ClickException(f"The exact scan failed: {reason}")
        return msgspec.json.decode(out.read(), type=float)


def _built(name: str, vectors: Made, index: Path, seconds: int) -> str:
    """Why an index could not be built; empty if it was."""
    index.with_suffix(".built.json").unlink(missing_ok=True)
    if index.exists():
        shutil.rmtree(index)
    return _child(["build", name, str(vectors.folder), str(index)], seconds)


def _child(arguments: Sequence[str], seconds: float | None) -> str:
    """Run `benchmarks.engines`; why it failed, empty if it did not."""
    command = [sys.executable, "-m", "benchmarks.engines", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"not built within {seconds:.0f} s"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines() or ["it said nothing"]
    return f"`{arguments[0]}` ended with exit code {done.returncode}: {said[-1][:300]}"


# ---- tables


def _cells(run: Run, kind: Kind) -> Iterator[tuple[Case, dict[str, Cell]]]:
    """Each case with the cell of each engine."""
    for place, case in enumerate(CASES):
        yield (
            case,
            {name: [cell for cell in one.cells if cell.query == kind][place] for name, one in run.engines.items()},
        )


def _table(run: Run, kind: Kind, met: Met) -> Table:
    """Medians, with recall, and what 95 % of searches take at most."""
    table = Table(
        title=f"{run.rows} vectors, {run.queries} {kind} queries, {met}: "
        f"median and 95 % of ms, recall@10 (in brackets where below {RECALL})",
        title_justify="left",
    )
    table.add_column("filter keeps", no_wrap=True)
    for name in run.engines:
        table.add_column(name, justify="right")
    for case, cells in _cells(run, kind):
        best = min((_taken(cell, met) for cell in cells.values() if cell.recall >= RECALL), default=0.0)
        row = []
        for cell in cells.values():
            median, p95 = _taken(cell, met), _taken(cell, met, p95=True)
            bold = "bold" if median == best and cell.recall >= RECALL else ""
            row.append(Text(f"{median:.2f} {p95:.2f} {_recall(cell)}", bold))
        table.add_row(_named(case), *row)
    return table


def _taken(cell: Cell, met: Met, *, p95: bool = False) -> float:
    """The median, or what 95 % take at most, in milliseconds."""
    taken: float = getattr(cell, _TAKEN[met][p95])
    return taken


def _recall(cell: Cell) -> str:
    short = f"{cell.recall:.3f}".removeprefix("0")
    return short if cell.recall >= RECALL else f"({short})"


def _named(case: Case) -> str:
    return f"{case.kept} {100 * case.share:g} %"


def _worst(run: Run) -> Table:
    """Each engine over all cases: a case whose recall is below 0.99 counts as missed, not by its latency."""
    table = Table(title=f"over all {2 * len(CASES)} cases of both kinds of query", title_justify="left")
    for name in (
        "engine", "version", f"recall >= {RECALL}", "worst median, ms", "worst p95", "again", "p95", "build s",
        "disk MB", "open s", "resident MiB", "of it before opening", "peak", "outside the filter",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name in ("engine", "version") else "right")
    for name, one in run.engines.items():
        sound = [cell for cell in one.cells if cell.recall >= RECALL]
        worst = [
            max((_taken(cell, met, p95=p95) for cell in sound), default=0.0)
            for met in (Met.new, Met.again)
            for p95 in (False, True)
        ]
        table.add_row(
            name, one.version, f"{len(sound)} of {len(one.cells)}", *(f"{value:.2f}" for value in worst),
            f"{one.build_seconds:.0f}", f"{one.bytes / 1e6:.0f}", f"{one.open_seconds:.2f}", f"{one.resident:.0f}",
            f"{one.before:.0f}", f"{one.peak:.0f}", str(sum(cell.outside for cell in one.cells)),
        )  # fmt: skip
    return table


def _ratios(run: Run, met: Met) -> Table:
    title = f"Loupe's median over that of the quickest peer whose recall suffices, {met}"
    table = Table(title=title, title_justify="left")
    table.add_column("filter keeps")
    for kind in Kind:
        table.add_column(f"{kind} queries", justify="right")
        table.add_column("quickest peer")
    for image, text in zip(_cells(run, Kind.image), _cells(run, Kind.text), strict=True):
        table.add_row(_named(image[0]), *_ratio(image[1], met), *_ratio(text[1], met))
    return table


def _ratio(cells: Mapping[str, Cell], met: Met) -> tuple[str, str]:
    own = cells[LOUPE]
    peers = {name: _taken(cell, met) for name, cell in cells.items() if name != LOUPE and cell.recall >= RECALL}
    if not peers:
        return "no peer", ""
    name = min(peers, key=peers.__getitem__)
    ratio = f"{_taken(own, met) / peers[name]:.2f}"
    return ratio if own.recall >= RECALL else f"({ratio})", name


def reached(cells: Sequence[Cell], scan: float, goal: Goal, met: Met) -> tuple[int, int, float]:
    """In how many cases a goal is reached, of how many, and the largest part of a scan (ms) that a case takes."""
    cells = [cell for cell in cells if not goal.few or cell.share <= FEW]
    parts = [_taken(cell, met, p95=goal.p95) / scan for cell in cells if cell.recall >= RECALL]
    return sum(part <= goal.part for part in parts), len(cells), max(parts, default=0.0)


def _goals(cells: Sequence[Cell], scan: float) -> Table:
    table = Table(title=f"Loupe, of {scan} ms that FAISS takes to look at all rows", title_justify="left")
    table.add_column("at most")
    for met in Met:
        table.add_column(met, justify="right")
        table.add_column("slowest", justify="right")
    for goal in GOALS:
        row = [goal.name]
        for met in Met:
            good, cases, largest = reached(cells, scan, goal, met)
            row += [f"{good} of {cases}", f"1/{1 / largest:.3g}" if largest else ""]
        table.add_row(*row)
    return table


# ---- the picture

_WIDE, _HIGH, _LEFT, _TOP, _GAP = 560, 300, 46, 34, 56
_COLOURS: Final = ("#d62828", "#1d70b8", "#6a4c93", "#2a9d8f", "#e09f3e", "#8d6e63", "#5c677d", "#9aa5b1")


def picture(run: Run) -> str:
    """Medians case by case, of filters asked for before, one panel a kind of query, as SVG; circles are hollow where
    recall is below 0.99."""
    sizes = [cell.again for one in run.engines.values() for cell in one.cells]
    low, high = floor(log10(min(sizes))), ceil(log10(max(sizes)))
    parts = [_axes(kind, panel, low, high) for panel, kind in enumerate(Kind)]
    for number, name in reversed(list(enumerate(run.engines))):
        parts += [_line(run, kind, name, _COLOURS[number], panel, low, high) for panel, kind in enumerate(Kind)]
    width, height = 2 * (_WIDE + _GAP) + 10, _TOP + _HIGH + 130
    legend = []
    for number, name in enumerate(run.engines):
        x, y = _LEFT + (number % 4) * 170, height - 34 + (number // 4) * 20
        legend.append(
            f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{_COLOURS[number]}"/>'
            f'<text x="{x + 10}" y="{y}">{escape(name)}</text>'
        )
    note = f"Hollow: recall@10 below {RECALL}. {run.rows:,} vectors of 512 dimensions, 2 cores, known filters."
    legend.append(f'<text x="{width - 10}" y="{height - 34}" text-anchor="end">{escape(note)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#333"><rect width="{width}" height="{height}" fill="#fff"/>'
        + "\n".join([*parts, *legend])
        + "</svg>\n"
    )


def _axes(kind: Kind, panel: int, low: int, high: int) -> str:
    left = _LEFT + panel * (_WIDE + _GAP)
    parts = [f'<text x="{left}" y="18" font-size="13">{kind} queries: median ms a search</text>']
    for power in range(low, high + 1):
        y = _y(10**power, low, high)
        parts.append(
            f'<path d="M{left} {y:.1f}h{_WIDE - 20}" stroke="#ddd"/>'
            f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
        )
    for place, case in enumerate(CASES):
        x, y = _x(place, panel), _TOP + _HIGH + 14
        parts.append(f'<text x="{x}" y="{y}" text-anchor="end" transform="rotate(-40 {x} {y})">{_named(case)}</text>')
    return "".join(parts)


def _line(run: Run, kind: Kind, name: str, colour: str, panel: int, low: int, high: int) -> str:
    parts = []
    thick = 2 if name == LOUPE else 1
    lines: dict[str, list[str]] = {}
    for place, (case, cells) in enumerate(_cells(run, kind)):
        x, y = _x(place, panel), _y(cells[name].again, low, high)
        lines.setdefault(case.kept, []).append(f"{x:.1f},{y:.1f}")
        fill = colour if cells[name].recall >= RECALL else "#fff"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 + thick}" fill="{fill}" stroke="{colour}"/>')
    drawn = f'fill="none" stroke="{colour}" stroke-width="{thick}" opacity="0.6"'
    return "".join([*(f'<polyline points="{" ".join(points)}" {drawn}/>' for points in lines.values()), *parts])


def _x(place: int, panel: int) -> float:
    return _LEFT + panel * (_WIDE + _GAP) + 14 + place * (_WIDE - 48) / (len(CASES) - 1)


def _y(milliseconds: float, low: int, high: int) -> float:
    return _TOP + _HIGH * (high - log10(milliseconds)) / (high - low)


if __name__ == "__main__":
    main()
