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
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final, overload

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

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

#: The legs in the order of the columns below.
LEGS: Final = tuple(Leg)
_VISUAL, _PASSAGE, _KEYWORD = range(len(LEGS))
_WEIGHTS: Final = np.array([WEIGHT[leg] for leg in LEGS])

#: Evidence beyond this is certainty; it keeps the exponential in range.
_CERTAIN: Final = 30.0

Assets = NDArray[np.int64]
Said = NDArray[np.float64]


class Evidence(msgspec.Struct, frozen=True, eq=False):
    """What legs say of some assets, each once: `assets` int64 [n], and in the columns of `said`, float64 [n, legs], the
    log-likelihood ratio that each of `LEGS` gives; NaN where it has nothing to say."""

    assets: Assets
    said: Said

    @classmethod
    def of(cls, said: Mapping[int, Mapping[Leg, float]]) -> "Evidence":
        """From what is said asset by asset and leg by leg."""
        rows = [[by_leg.get(leg, math.nan) for leg in LEGS] for by_leg in said.values()]
        return cls(np.fromiter(said, np.int64, len(said)), np.array(rows, np.float64).reshape(-1, len(LEGS)))


class Ranked(msgspec.Struct, frozen=True):
    """An asset in its place (relevance 0 to 1), with what each leg's word counted (above 0: for it, below: against)."""

    asset: int
    relevance: float
    evidence: Mapping[Leg, float]

    @property
    def weak(self) -> bool:
        return self.relevance < STRONG


class Ranking(Sequence[Ranked]):
    """Assets in order, of which only those that are looked at are made: a library may have a million."""

    @abstractmethod
    def at(self, place: int) -> Ranked:
        """The asset in a place, from 0."""

    @overload
    def __getitem__(self, place: int) -> Ranked: ...
    @overload
    def __getitem__(self, place: slice) -> list[Ranked]: ...
    def __getitem__(self, place: int | slice) -> Ranked | list[Ranked]:
        places = range(len(self))[place]
        return self.at(places) if isinstance(places, int) else [self.at(one) for one in places]


class Order(Ranking):
    """Assets by relevance, best first, equal ones newest first, as columns."""

    def __init__(self, assets: Assets, relevance: Said, counted: Said) -> None:
        """In any order: `assets` int64 [n], `relevance` float64 [n], and what each leg's word `counted`, [n, legs]."""
        order = np.lexsort((assets, relevance))[::-1]
        self.assets, self.relevance, self.counted = assets[order], relevance[order], counted[order]

    def __len__(self) -> int:
        return len(self.assets)

    def at(self, place: int) -> Ranked:
        counted = zip(LEGS, self.counted[place].tolist(), strict=True)
        evidence = {leg: value for leg, value in counted if not math.isnan(value)}
        return Ranked(int(self.assets[place]), float(self.relevance[place]), evidence)


def fuse(evidence: Evidence) -> Order:
    """Order assets by relevance."""
    counted = evidence.said * _WEIGHTS
    beside_words = WEIGHT_BESIDE_WORDS * np.maximum(evidence.said[:, _VISUAL], -_AGAINST)
    counted[:, _VISUAL] = np.where(np.isnan(counted[:, _PASSAGE]), counted[:, _VISUAL], beside_words)
    total = np.nansum(counted, axis=1).clip(-_CERTAIN, _CERTAIN)
    # SciPy takes exponentials one by one. NumPy's may differ in the last digit by where in the array a number stands,
    # and what an asset's relevance is depends on nothing else that is there.
    relevance: Said = expit(total)
    return Order(evidence.assets, relevance, counted)


def doubted(evidence: Evidence, strangeness: float) -> Evidence:
    """What legs say of assets, where a share of the query's words (`strangeness`, 0 to 1) is not known to the models.

    Such a word, a name or a misspelt one, is like no picture and no sentence. The more of the query is so, and the more
    of its words the asset has, the likelier the vector legs do not know what they speak against, and the less it counts
    (a contaminated likelihood: Tukey 1960). What speaks for an asset stays.
    """
    said = evidence.said.copy()
    having = np.flatnonzero(strangeness * said[:, _KEYWORD] > 0)
    doubt = ((strangeness * said[having, _KEYWORD].clip(0, 1)) ** 2)[:, None]
    legs = np.array([_VISUAL, _PASSAGE])
    heard = said[having[:, None], legs]
    less_sure = np.log(doubt + (1 - doubt) * np.exp(np.maximum(heard, -_CERTAIN)))
    said[having[:, None], legs] = np.where(heard < 0, less_sure, heard)
    return Evidence(evidence.assets, said)


def mean(orders: Sequence[Order], weights: Sequence[float] | None = None) -> Order:
    """Several things wanted at once: the mean of an asset's relevance to each; where it is absent, that counts as 0.

    `weights` sum to 1; without them all count alike. Of an asset's evidence the first order's that has any is told.
    """
    if len(orders) == 1:
        return orders[0]
    weights = weights or [1 / len(orders)] * len(orders)
    assets = np.unique(np.concatenate([order.assets for order in orders]))
    relevance = np.zeros(len(assets))
    counted = np.full((len(assets), len(LEGS)), math.nan)
    for order, weight in zip(orders, weights, strict=True):
        places = np.searchsorted(assets, order.assets)
        relevance[places] += order.relevance * weight
        counted[places] = np.where(np.isnan(counted[places]), order.counted, counted[places])
    return Order(assets, np.minimum(relevance, 1.0), counted)


def less(order: Order, unwanted: Order) -> Order:
    """Push away what is like the unwanted: an asset's relevance times the chance that it is not that.

    The chance that it is: one half at the break, above which, by and large, as much is right as wrong.
    """
    chance = unwanted.relevance / (unwanted.relevance + (1 - unwanted.relevance) * _ODDS)
    _, places, there = np.intersect1d(order.assets, unwanted.assets, return_indices=True)
    relevance = order.relevance.copy()
    relevance[places] *= 1 - chance[there]
    return Order(order.assets, relevance, order.counted)
