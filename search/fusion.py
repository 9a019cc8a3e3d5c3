"""From the evidence of several legs to one order. Pure functions.

Each leg says, on its own and without regard to other assets, how likely an asset is what was asked for: the vector
legs by a calibrated cosine, the keyword leg by the share of the query's words that occur. Evidence is joined as
independent chances of a match (noisy-or: Pearl, Probabilistic Reasoning in Intelligent Systems, 1988, section
4.3.2):

    relevance = 1 - (1 - w_visual * p_visual) * (1 - w_passage * p_passage) * (1 - w_keyword * p_keyword)

Why not ranks (reciprocal rank fusion) or raw BM25: both depend on which other assets there are, so what a person
may not find would show through the numbers of what they may. Here an asset's relevance depends on the query and on
itself alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from search.types import Leg

#: How far each leg is trusted at its surest. benchmarks/relevance.py prints what each choice is worth.
TRUST: Final[Mapping[Leg, float]] = {Leg.visual: 0.9, Leg.passage: 0.9, Leg.keyword: 0.8}

#: Hits below this come after the break, as weaker matches.
STRONG: Final = 0.5


class Ranked(msgspec.Struct, frozen=True):
    """An asset in its place, with what each leg said of it (0 to 1)."""

    asset: int
    relevance: float
    evidence: Mapping[Leg, float]

    @property
    def weak(self) -> bool:
        return self.relevance < STRONG


def fuse(evidence: Mapping[int, Mapping[Leg, float]]) -> list[Ranked]:
    """Order assets by relevance, best first, equal ones newest first. `evidence`: asset to leg to 0..1."""
    return _in_order(Ranked(asset, _noisy_or(said), said) for asset, said in evidence.items())


def mean(orders: Sequence[Sequence[Ranked]]) -> list[Ranked]:
    """Several things wanted at once: the mean of an asset's relevance to each; where it is absent, that counts as 0."""
    sums: dict[int, float] = {}
    evidence: dict[int, Mapping[Leg, float]] = {}
    for order in orders:
        for one in order:
            sums[one.asset] = sums.get(one.asset, 0.0) + one.relevance / len(orders)
            evidence[one.asset] = {**one.evidence, **evidence.get(one.asset, {})}
    return _in_order(Ranked(asset, relevance, evidence[asset]) for asset, relevance in sums.items())


def less(order: Sequence[Ranked], unwanted: Sequence[Ranked]) -> list[Ranked]:
    """Push away what is like the unwanted: an asset's relevance times the chance that it is not that."""
    chance = {one.asset: one.relevance for one in unwanted}
    return _in_order(
        msgspec.structs.replace(one, relevance=one.relevance * (1 - chance.get(one.asset, 0.0))) for one in order
    )


def _in_order(ranked: Iterable[Ranked]) -> list[Ranked]:
    return sorted(ranked, key=lambda one: (-one.relevance, -one.asset))


def _noisy_or(said: Mapping[Leg, float]) -> float:
    doubt = 1.0
    for leg, chance in said.items():
        doubt *= 1.0 - TRUST[leg] * chance
    return 1.0 - doubt
