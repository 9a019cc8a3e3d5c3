"""Which way to bring the legs together is best: `python -m benchmarks.fusion [--captioned DIR] [--json FILE]`.

Every way is given the same: for each query, what each leg says of every asset of the library. Compared are

* each leg by itself;
* reciprocal rank fusion, k = 60 (Cormack, Clarke, Büttcher 2009);
* the convex combination of the legs' scores, each stretched to 0..1 over the query's assets (Bruch, Gai, Ingber 2023),
  with the weights that were best on the other sets;
* a learned combiner: logistic regression on what the legs say and on whether they speak at all, fitted on the other
  sets;
* Loupe's own (`search.fusion`): evidence weighted and summed.

Those that learn never see the set that they are judged on. "half described" is the captioned set with every other
description taken away, as libraries are that somebody has begun to describe.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks import libraries
from benchmarks.libraries import Asked, Shelf
from benchmarks.measures import CAPTIONED, CONSOLE, Row, measured, table
from search.fusion import Evidence, fuse
from search.types import Leg

#: What each leg says of each asset, by name.
Said = Mapping[str, Mapping[Leg, float]]
Way = Callable[[Said], Sequence[str]]

_STEPS: Final = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0)
_MOST: Final = 300
_DIRECTORY: Final = click.Path(exists=True, file_okay=False, path_type=Path)


class Judged(msgspec.Struct, frozen=True):
    """A query with what the legs said, and the names that answer it."""

    said: Said
    relevant: frozenset[str]


@click.command()
@click.option("--model", default="loupe-mini", show_default=True, help="The model that sees.")
@click.option("--captioned", type=CAPTIONED, help="Captioned photographs (captions.csv, images/).")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(model: str, captioned: Path | None, as_json: Path | None) -> None:
    """Compare ways of fusion."""
    sets = dict(_sets(model, captioned))
    rows: list[Row] = []
    for name, queries in sets.items():
        others = [query for other, asked in sets.items() if other != name for query in asked[:_MOST]]
        ways: dict[str, Way] = {f"{leg} alone": _alone(leg) for leg in Leg}
        ways |= {"reciprocal ranks": _reciprocal_ranks}
        if others:
            ways |= {"convex combination": _convex(_best_weights(others)), "learned": _learned(others)}
        ways |= {"evidence (Loupe)": _evidence}
        relevant = [query.relevant for query in queries]
        rows += [measured(name, way, relevant, [rank(query.said) for query in queries]) for way, rank in ways.items()]
    CONSOLE.print(table(f"{model}: ways of fusion, mean and 95 % interval", rows))
    if as_json:
        as_json.write_bytes(msgspec.json.encode({"model": model, "rows": rows}) + b"\n")


def _sets(model: str, folder: Path | None) -> Iterator[tuple[str, list[Judged]]]:
    with libraries.sample(model, described=True) as shelf:
        yield "sample", _judged(libraries.asked("sample"), shelf)
    with libraries.spoken(model) as shelf:
        yield "spoken", _judged(libraries.asked("spoken"), shelf)
    if folder is None:
        return
    photographs = libraries.held_out(folder)
    queries = [Asked(text=captions[1], relevant=frozenset([path.name])) for path, captions in photographs.items()]
    with libraries.captioned(model, photographs) as shelf:
        yield "captioned", _judged(queries, shelf)
    half = {path: captions if place % 2 else [""] for place, (path, captions) in enumerate(photographs.items())}
    with libraries.captioned(model, half) as shelf:
        yield "half described", _judged(queries, shelf)


def _judged(queries: Sequence[Asked], shelf: Shelf) -> list[Judged]:
    return [Judged(shelf.evidence(query.text), query.relevant) for query in queries]


# ---- ways


def _alone(leg: Leg) -> Way:
    return lambda said: sorted((name for name in said if leg in said[name]), key=lambda name: -said[name][leg])


def _reciprocal_ranks(said: Said) -> Sequence[str]:
    scores: dict[str, float] = {}
    for leg in Leg:
        for place, name in enumerate(_alone(leg)(said), start=1):
            scores[name] = scores.get(name, 0.0) + 1 / (60 + place)
    return sorted(scores, key=lambda name: -scores[name])


def _stretched(said: Said) -> dict[str, dict[Leg, float]]:
    """Each leg's scores from 0 (the least, or nothing said) to 1."""
    found: dict[str, dict[Leg, float]] = {name: {} for name in said}
    for leg in Leg:
        scores = {name: legs[leg] for name, legs in said.items() if leg in legs}
        if scores:
            low, high = min(scores.values()), max(scores.values())
            for name, score in scores.items():
                found[name][leg] = (score - low) / (high - low) if high > low else 1.0
    return found


def _convex(weights: Mapping[Leg, float]) -> Way:
    def rank(said: Said) -> Sequence[str]:
        scores = {
            name: sum(weights[leg] * score for leg, score in legs.items()) for name, legs in _stretched(said).items()
        }
        return sorted(scores, key=lambda name: -scores[name])

    return rank


def _best_weights(queries: Sequence[Judged]) -> Mapping[Leg, float]:
    """The weights, out of a grid, with the highest mean reciprocal rank."""
    grid = [dict(zip(Leg, weights, strict=True)) for weights in product(_STEPS, repeat=len(Leg)) if max(weights) == 1.0]
    return max(grid, key=lambda weights: np.mean([_reciprocal(_convex(weights)(q.said), q.relevant) for q in queries]))


def _reciprocal(ranked: Sequence[str], relevant: frozenset[str]) -> float:
    return next((1 / place for place, name in enumerate(ranked, start=1) if name in relevant), 0.0)


def _features(legs: Mapping[Leg, float]) -> list[float]:
    return [legs.get(leg, 0.0) for leg in Leg] + [float(leg in legs) for leg in Leg]


def _learned(queries: Sequence[Judged]) -> Way:
    """Logistic regression over all pairs of query and asset, the right and the wrong ones of equal weight."""
    rows = torch.tensor([_features(legs) for query in queries for legs in query.said.values()])
    right = torch.tensor([float(name in query.relevant) for query in queries for name in query.said])
    weight = torch.where(right > 0, 0.5 / right.sum(), 0.5 / (1 - right).sum())
    line = torch.nn.Linear(rows.shape[1], 1)
    optimiser = torch.optim.LBFGS(line.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = functional.binary_cross_entropy_with_logits(line(rows)[:, 0], right, weight, reduction="sum")
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    factors: NDArray[np.float32] = line.weight.detach().numpy()[0]

    def rank(said: Said) -> Sequence[str]:
        return sorted(said, key=lambda name: -math.fsum(factors * _features(said[name])))

    return rank


def _evidence(said: Said) -> Sequence[str]:
    names = list(said)
    return [names[one.asset] for one in fuse(Evidence.of({place: said[name] for place, name in enumerate(names)}))]


if __name__ == "__main__":
    main()
