"""Fusion: more evidence never hurts, the break lies where evidence turns, and order is settled."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search import fusion
from search.fusion import STRONG, Evidence, Order, less, mean
from search.types import Leg

log_odds = st.floats(-20, 20)
evidence = st.dictionaries(st.sampled_from(Leg), log_odds, min_size=1)


def fuse(said: dict[int, dict[Leg, float]]) -> Order:
    return fusion.fuse(Evidence.of(said))


def doubted(said: dict[Leg, float], strangeness: float) -> dict[Leg, float]:
    """What is left of what is said of one asset."""
    judged = fusion.doubted(Evidence.of({1: said}), strangeness)
    return {leg: value for leg, value in zip(Leg, judged.said[0].tolist(), strict=True) if not math.isnan(value)}


def relevance(said: dict[Leg, float]) -> float:
    return fuse({1: said})[0].relevance


@given(st.dictionaries(st.integers(1, 50), evidence))
def test_best_first_and_newest_first_among_equals(said: dict[int, dict[Leg, float]]) -> None:
    order = fuse(said)
    assert sorted(one.asset for one in order) == sorted(said)
    assert list(order) == sorted(order, key=lambda one: (-one.relevance, -one.asset))
    assert all(0 <= one.relevance <= 1 for one in order)


@given(evidence, st.sampled_from(Leg), st.floats(0.01, 5))
def test_more_evidence_never_hurts(said: dict[Leg, float], leg: Leg, more: float) -> None:
    if leg in said:
        assert relevance(said | {leg: said[leg] + more}) >= relevance(said)


@given(st.dictionaries(st.integers(1, 9), evidence, min_size=1), evidence)
def test_an_asset_s_relevance_is_its_own_affair(said: dict[int, dict[Leg, float]], other: dict[Leg, float]) -> None:
    alone = {one.asset: one.relevance for one in fuse(said)}
    joined = {one.asset: one.relevance for one in fuse(said | {99: other})}
    assert alone == {asset: value for asset, value in joined.items() if asset != 99}


@given(evidence)
def test_evidence_for_is_strong_and_against_is_weak(said: dict[Leg, float]) -> None:
    one = fuse({1: said})[0]
    if all(value > 0 for value in said.values()):
        assert one.relevance >= 0.5
    if all(value < -0.001 for value in said.values()):
        assert one.relevance < 0.5
    assert one.weak == (one.relevance < STRONG)


def test_words_outrank_looks_where_both_speak() -> None:
    assert relevance({Leg.visual: 2.0, Leg.passage: -1.0}) < 0.5 < relevance({Leg.visual: -1.0, Leg.passage: 2.0})
    assert relevance({Leg.visual: 2.0}) == pytest.approx(relevance({Leg.passage: 2.0}))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-20, -0.01), st.sampled_from((Leg.passage, Leg.visual)))
def test_unlikeness_to_a_strange_word_speaks_less_against_what_has_it(
    strangeness: float, found: float, against: float, leg: Leg
) -> None:
    """In full where the models know every word or the asset has none; not at all where it is the other way round."""
    said = {Leg.keyword: found, leg: against}
    judged = doubted(said, strangeness)
    assert judged[Leg.keyword] == found
    assert against - 1e-9 <= judged[leg] <= 0
    assert doubted(said, 0.0) == said
    assert doubted(said | {Leg.keyword: 0.0}, strangeness)[leg] == against
    assert doubted(said | {Leg.keyword: 1.0}, 1.0)[leg] == 0
    assert judged[leg] >= doubted(said | {Leg.keyword: found / 2}, strangeness)[leg] - 1e-9


def test_what_speaks_for_an_asset_is_not_doubted() -> None:
    said = {Leg.keyword: 1.0, Leg.passage: 3.0}
    assert doubted(said, 1.0) == said


def test_what_is_wanted_twice_must_be_both() -> None:
    both = mean([fuse({1: {Leg.visual: 9.0}, 2: {Leg.visual: 9.0}}), fuse({2: {Leg.visual: 9.0}})])
    assert [one.asset for one in both] == [2, 1]
    assert both[1].relevance == pytest.approx(0.5, abs=0.01)


def test_the_unwanted_is_pushed_away() -> None:
    order = fuse({1: {Leg.visual: 5.0}, 2: {Leg.visual: 4.0}})
    pushed = less(order, fuse({1: {Leg.visual: 5.0}}))
    assert [one.asset for one in pushed] == [2, 1]


def test_at_the_break_an_unwanted_thing_is_as_likely_as_not() -> None:
    order = fuse({1: {Leg.passage: 9.0}})
    at_the_break = fuse({1: {Leg.passage: math.log(STRONG / (1 - STRONG))}})
    assert less(order, at_the_break)[0].relevance == pytest.approx(order[0].relevance / 2)
    assert less(order, fuse({1: {Leg.passage: 0.0}}))[0].relevance > 0.75 * order[0].relevance


@given(st.floats(0, 1), log_odds, log_odds)
def test_a_weighted_mean_lies_between_what_it_weighs(weight: float, one: float, other: float) -> None:
    orders = [fuse({1: {Leg.visual: said}}) for said in (one, other)]
    low, high = sorted(order[0].relevance for order in orders)
    assert low - 1e-9 <= mean(orders, [weight, 1 - weight])[0].relevance <= min(1.0, high + 1e-9)
    assert mean(orders, [1.0, 0.0])[0].relevance == orders[0][0].relevance
    assert list(mean(orders, [0.5, 0.5])) == list(mean(orders))
