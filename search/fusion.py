"""From the evidence of several legs to one order. Pure functions.

Each leg says, on its own and without regard to other assets, how far an asset's match speaks for its being what was
asked for: a log-likelihood ratio, for the vector legs by calibrated cosine, for the keyword leg by the share of the
query's words that occur. Weighted and summed (the weight of evidence: Good 1950; naive Bayes with weights) they give

    relevance = 1 / (1 + exp(-(w_visual * visual + w_passage * passage + w_keyword * keyword)))

which is above one half where the evidence speaks for the asset. How an asset looks counts in full where nothing is
written of it and for less where something is: words said of a picture are the better witness. A leg that has nothing to
say of an asset leaves the odds as they were.

`python -m benchmarks.fusion` compares this with reciprocal rank fusion (Cormack, Clarke, Büttcher 2009), with convex
combinations of stretched scores (Bruch, Gai, Ingber 2023) and with a learned combiner, each tuned on the other sets.
Each of them falls behind the best leg by itself on some sets, the first on all; the learned one is a little ahead of
this on captions and far behind on the others. Ranks and stretched scores depend, besides, on which other assets there
are, so what a person may not find would show through the numbers of what they may. Here an asset's relevance depends on
the query and on itself alone. The weights were chosen over three sets at once, the sample
queries, the questions about recordings and captioned photographs: the captions gain from more weight of pictures
beside words up to 0.4, the other two lose beyond 0.3; more weight of keywords than 4 costs questions about recordings
and half described libraries. A noisy-or of the legs' chances was worse: it cannot let one leg speak against.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from search.types import Leg

#: What each leg's evidence counts; for the keyword leg, what finding every word of the query is worth.
WEIGHT: Final[Mapping[Leg, float]] = {Leg.visual: 1.0, Leg.passage: 1.0, Leg.keyword: 4.0}
WEIGHT_BESIDE_WORDS: Final = 0.25

#: As much as a picture's looks can speak against what is said of it.
_AGAINST: Final = 2.0

#: Hits below this come after the break, as weaker matches. At one half the evidence only begins to speak for an asset,
#: and half of what stands above is wrong. From here on nonsense brings up nothing and what the library lacks next to
#: nothing, over pictures alone as well. A higher break makes answers about recordings more precise, and loses pictures
#: that are right without getting rid of many that are wrong (`python -m benchmarks.relevance` prints both for several).
STRONG: Final = 0.8

_ODDS: Final = STRONG / (1 - STRONG)

_PLACE: Final = attrgetter("relevance", "asset")

# Looked up once: before Python 3.12 to name a member of an enum is a call, and here it would be thousands.
_VISUAL, _PASSAGE, _KEYWORD = Leg

#: Evidence beyond this is certainty; it keeps the exponential in range.
_CERTAIN: Final = 30.0


class Ranked(msgspec.Struct, frozen=True):
    """An asset in its place (relevance 0 to 1), with what each leg's word counted (above 0: for it, below: against)."""

    asset: int
    relevance: float
    evidence: Mapping[Leg, float]

    @property
    def weak(self) -> bool:
        return self.relevance < STRONG


def fuse(evidence: Mapping[int, Mapping[Leg, float]]) -> list[Ranked]:
    """Order assets by relevance, best first, equal ones newest first. `evidence`: asset to leg to what it says."""
    weighed = {asset: _weighed(said) for asset, said in evidence.items()}
    return _in_order(Ranked(asset, _relevance(said), said) for asset, said in weighed.items())


def doubted(said: Mapping[Leg, float], strangeness: float) -> dict[Leg, float]:
    """What legs say of an asset, where a share of the query's words (`strangeness`, 0 to 1) is not known to the models.

    Such a word, a name or a misspelt one, is like no picture and no sentence. The more of the query is so, and the more
    of its words the asset has, the likelier the vector legs do not know what they speak against, and the less it counts
    (a contaminated likelihood: Tukey 1960). What speaks for an asset stays.
    """
    doubt = (strangeness * max(0.0, min(said.get(_KEYWORD, 0.0), 1.0))) ** 2
    return {
        leg: math.log(doubt + (1 - doubt) * math.exp(max(value, -_CERTAIN)))
        if doubt and value < 0 and leg is not _KEYWORD
        else value
        for leg, value in said.items()
    }


def mean(orders: Sequence[Sequence[Ranked]], weights: Sequence[float] | None = None) -> list[Ranked]:
    """Several things wanted at once: the mean of an asset's relevance to each; where it is absent, that counts as 0.

    `weights` sum to 1; without them all count alike.
    """
    if len(orders) == 1:
        return list(orders[0])
    weights = weights or [1 / len(orders)] * len(orders)
    sums: dict[int, float] = {}
    evidence: dict[int, Mapping[Leg, float]] = {}
    for order, weight in zip(orders, weights, strict=True):
        for one in order:
            sums[one.asset] = sums.get(one.asset, 0.0) + one.relevance * weight
            evidence[one.asset] = {**one.evidence, **evidence.get(one.asset, {})}
    return _in_order(Ranked(asset, min(relevance, 1.0), evidence[asset]) for asset, relevance in sums.items())


def less(order: Sequence[Ranked], unwanted: Sequence[Ranked]) -> list[Ranked]:
    """Push away what is like the unwanted: an asset's relevance times the chance that it is not that.

    The chance that it is: one half at the break, above which, by and large, as much is right as wrong.
    """
    chance = {one.asset: one.relevance / (one.relevance + (1 - one.relevance) * _ODDS) for one in unwanted}
    return _in_order(
        msgspec.structs.replace(one, relevance=one.relevance * (1 - chance.get(one.asset, 0.0))) for one in order
    )


def _in_order(ranked: Iterable[Ranked]) -> list[Ranked]:
    return sorted(ranked, key=_PLACE, reverse=True)


def _relevance(said: Mapping[Leg, float]) -> float:
    total = sum(said.values())
    return 1.0 / (1.0 + math.exp(-max(-_CERTAIN, min(_CERTAIN, total))))


def _weighed(said: Mapping[Leg, float]) -> dict[Leg, float]:
    weighed = {leg: WEIGHT[leg] * value for leg, value in said.items()}
    if _VISUAL in said and _PASSAGE in said:
        weighed[_VISUAL] = WEIGHT_BESIDE_WORDS * max(said[_VISUAL], -_AGAINST)
    return weighed
