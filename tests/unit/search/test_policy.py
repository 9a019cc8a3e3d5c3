"""The gate: its two forms agree on random libraries, and each row of the policy table holds."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search import policy
from search.columns import Columns
from search.types import (
    Action,
    Asset,
    Channel,
    Grant,
    Licence,
    MediaType,
    Principal,
    Reason,
    Release,
    ResourceKind,
    Rights,
    Role,
    Status,
    SubjectKind,
    Usage,
)

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTINGS = policy.Settings(sensitive_groups=frozenset({"cleared"}))

days = st.none() | st.integers(-3, 3).map(lambda offset: TODAY + timedelta(days=offset))
territories = st.lists(st.sampled_from(["DE", "FR", "US"]), unique=True, max_size=2).map(tuple)
rights = st.builds(
    Rights,
    licence=st.sampled_from(Licence),
    valid_from=days,
    valid_until=days,
    territories=territories,
    excluded_territories=territories,
    channels=st.lists(st.sampled_from(Channel), unique=True, max_size=2).map(tuple),
    model_release=st.sampled_from(Release),
    property_release=st.sampled_from(Release),
)
subjects = st.sampled_from(
    [
        (SubjectKind.user, "ann"),
        (SubjectKind.group, "red"),
        (SubjectKind.group, "blue"),
        (SubjectKind.everyone, ""),
        (SubjectKind.public, ""),
    ]
)
rules = st.lists(
    st.tuples(subjects, st.sampled_from([Action.find, Action.use, Action.review]), st.booleans()), max_size=4
)
principals = st.builds(
    Principal,
    user=st.sampled_from(["ann", "bob"]),
    groups=st.frozensets(st.sampled_from(["red", "blue", "cleared", "nobody"])),
    roles=st.frozensets(st.sampled_from(Role), max_size=2),
    signed_in=st.booleans(),
)
usages = st.none() | st.builds(
    Usage,
    channel=st.none() | st.sampled_from(Channel),
    territory=st.none() | st.sampled_from(["DE", "FR", "US", "JP"]),
    on=days,
    until=days,
)


def grants_on(
    kind: ResourceKind, resource: str, said: list[tuple[tuple[SubjectKind, str], Action, bool]]
) -> list[Grant]:
    return [Grant(kind, resource, subject[0], subject[1], action, allow) for subject, action, allow in said]


def an_asset(ordinal: int = 0, **changes: object) -> Asset:
    plain = Asset(
        ordinal=ordinal,
        id=f"a{ordinal}",
        path="",
        content_hash="",
        media_type=MediaType.image,
        mime="image/jpeg",
        collection="c",
        status=Status.approved,
        added=NOW,
        rights=Rights(licence=Licence.owned),
        grants=tuple(
            Grant(ResourceKind.collection, "c", SubjectKind.everyone, "", action)
            for action in (Action.find, Action.use)
        ),
    )
    return msgspec.structs.replace(plain, **changes)


@st.composite
def libraries(draw: st.DrawFn) -> tuple[list[Asset], dict[str, tuple[Grant, ...]]]:
    collections = {name: tuple(grants_on(ResourceKind.collection, name, draw(rules))) for name in ("open", "closed")}
    assets = []
    for ordinal in range(draw(st.integers(1, 8))):
        collection = draw(st.sampled_from(sorted(collections)))
        own = grants_on(ResourceKind.asset, f"a{ordinal}", draw(rules))
        assets.append(
            an_asset(
                ordinal,
                collection=collection,
                status=draw(st.sampled_from(Status)),
                sensitive=draw(st.booleans()),
                rights=draw(rights),
                grants=(*own, *collections[collection]),
            )
        )
    return assets, collections


@given(libraries(), principals, usages)
def test_scope_and_verdict_are_the_same_rule(
    library: tuple[list[Asset], dict[str, tuple[Grant, ...]]], principal: Principal, usage: Usage | None
) -> None:
    assets, collections = library
    columns = Columns().updated(put=assets, collection_grants=collections)
    scope = policy.scope(principal, usage, NOW, columns, SETTINGS)
    for asset in assets:
        judged = policy.verdict(asset, principal, usage, NOW, SETTINGS)
        assert judged.findable == (asset.ordinal in scope)
        assert judged.cleared == (asset.ordinal in scope.cleared)
        assert judged.reviewable == (asset.ordinal in scope.reviewable)
        if judged.findable:
            assert set(judged.reasons) == {r for r, blocked in scope.by_reason.items() if asset.ordinal in blocked}


@given(libraries(), st.lists(st.tuples(principals, usages, st.integers(0, 3)), min_size=2, max_size=30))
def test_scopes_that_are_kept_are_those_asked_for(
    library: tuple[list[Asset], dict[str, tuple[Grant, ...]]], asked: list[tuple[Principal, Usage | None, int]]
) -> None:
    """Whoever asked before, for whatever use, and on whatever day: more are asked for than are kept."""
    columns = Columns().updated(put=library[0], collection_grants=library[1])
    scopes = policy.Scopes(columns, SETTINGS)
    for principal, usage, later in [*asked, *asked]:
        now = NOW + timedelta(days=later)
        kept, fresh = scopes.of(principal, usage, now), policy.scope(principal, usage, now, columns, SETTINGS)
        for one in ("assets", "cleared", "reviewable", "by_reason"):
            assert getattr(kept, one) == getattr(fresh, one)


@given(libraries(), libraries(), principals, usages)
def test_columns_brought_up_to_date_equal_columns_made_anew(
    before: tuple[list[Asset], dict[str, tuple[Grant, ...]]],
    after: tuple[list[Asset], dict[str, tuple[Grant, ...]]],
    principal: Principal,
    usage: Usage | None,
) -> None:
    gone = {asset.ordinal for asset in before[0]} - {asset.ordinal for asset in after[0]}
    first = Columns().updated(put=before[0], collection_grants=before[1])
    seen_before = policy.scope(principal, usage, NOW, first, SETTINGS)
    moved = first.updated(put=after[0], removed=gone, collection_grants=after[1])
    fresh = Columns().updated(put=after[0], collection_grants=after[1])
    for made in (moved, fresh):
        assert made.all == fresh.all
    one, other = (policy.scope(principal, usage, NOW, columns, SETTINGS) for columns in (moved, fresh))
    assert (one.assets, one.cleared, one.by_reason) == (other.assets, other.cleared, other.by_reason)
    again = policy.scope(principal, usage, NOW, first, SETTINGS)
    assert again.assets == seen_before.assets, "an older Columns must not change under a search in flight"


VIEWER = Principal("ann")
STEWARD = Principal("sam", roles=frozenset({Role.steward}))
DAY = timedelta(days=1)


def judged(asset: Asset, principal: Principal = VIEWER, **usage: object) -> tuple[bool, bool, tuple[Reason, ...]]:
    named = msgspec.convert(usage, Usage) if usage else None
    found = policy.verdict(asset, principal, named, NOW, SETTINGS)
    return found.findable, found.cleared, found.reasons


def under(**terms: object) -> Asset:
    return an_asset(rights=msgspec.structs.replace(Rights(licence=Licence.owned), **terms))


@pytest.mark.parametrize(
    ("asset", "usage", "expected"),
    [
        (under(), {}, (True, True, ())),
        (under(valid_from=TODAY + DAY), {}, (False, False, (Reason.embargoed,))),
        (under(valid_from=TODAY), {}, (True, True, ())),
        (under(valid_until=TODAY), {}, (True, True, ())),
        (under(valid_until=TODAY - DAY), {}, (False, False, (Reason.expired,))),
        (under(valid_until=TODAY), {"on": TODAY + DAY}, (True, False, (Reason.expired,))),
        (under(valid_until=TODAY + DAY), {"on": TODAY, "until": TODAY + 2 * DAY}, (True, False, (Reason.expired,))),
        (under(valid_until=TODAY + 2 * DAY), {"on": TODAY, "until": TODAY + 2 * DAY}, (True, True, ())),
        (under(licence=Licence.unknown), {}, (True, False, (Reason.rights_unknown,))),
        (under(model_release=Release.missing), {"channel": "social"}, (True, False, (Reason.release_missing,))),
        (under(property_release=Release.unknown), {"channel": "print"}, (True, False, (Reason.release_missing,))),
        (under(model_release=Release.missing), {}, (True, False, (Reason.release_missing,))),
        (under(model_release=Release.missing), {"channel": "internal"}, (True, True, ())),
        (under(licence=Licence.editorial), {"channel": "web"}, (True, True, ())),
        (under(licence=Licence.editorial), {"channel": "internal"}, (True, True, ())),
        (under(licence=Licence.editorial), {"channel": "social"}, (True, False, (Reason.channel_excluded,))),
        (under(licence=Licence.editorial), {}, (True, False, (Reason.channel_excluded,))),
        (under(territories=("DE",)), {"territory": "FR"}, (True, False, (Reason.territory_excluded,))),
        (under(territories=("DE",)), {"territory": "DE"}, (True, True, ())),
        (under(territories=("DE",)), {}, (True, True, ())),
        (under(excluded_territories=("US",)), {"territory": "US"}, (True, False, (Reason.territory_excluded,))),
        (under(excluded_territories=("US",)), {"territory": "DE"}, (True, True, ())),
        (under(channels=(Channel.web,)), {"channel": "print"}, (True, False, (Reason.channel_excluded,))),
        (under(channels=(Channel.web,)), {"channel": "web"}, (True, True, ())),
        (an_asset(status=Status.draft), {}, (False, False, (Reason.not_approved,))),
        (an_asset(grants=()), {}, (False, False, (Reason.use_not_granted,))),
        (
            under(licence=Licence.unknown, channels=(Channel.web,), territories=("DE",)),
            {"channel": "print", "territory": "US"},
            (True, False, (Reason.rights_unknown, Reason.channel_excluded, Reason.territory_excluded)),
        ),
    ],
)
def test_policy_table(asset: Asset, usage: dict[str, object], expected: tuple[bool, bool, tuple[Reason, ...]]) -> None:
    assert judged(asset, **usage) == expected


def test_stewards_find_every_status_where_they_may_review() -> None:
    review = Grant(ResourceKind.collection, "c", SubjectKind.user, "sam", Action.review)
    for status in Status:
        asset = an_asset(status=status)
        assert judged(asset, STEWARD)[0] == (status is Status.approved)
        assert judged(msgspec.structs.replace(asset, grants=(*asset.grants, review)), STEWARD)[0]


def test_a_role_is_a_ceiling_on_grants() -> None:
    grants = tuple(Grant(ResourceKind.asset, "a0", SubjectKind.everyone, "", action) for action in Action)
    asset = an_asset(status=Status.draft, grants=grants)
    assert not judged(asset, VIEWER)[0]
    assert judged(an_asset(grants=grants), Principal("a", roles=frozenset({Role.auditor})))[2] == (
        Reason.use_not_granted,
    )
    assert not judged(an_asset(grants=grants), Principal("nobody", roles=frozenset()))[0]


def test_asset_grants_outrank_collection_grants_and_deny_beats_allow() -> None:
    def one(kind: ResourceKind, allow: bool) -> Grant:
        return Grant(kind, "x", SubjectKind.everyone, "", Action.find, allow)

    collection, own = ResourceKind.collection, ResourceKind.asset
    assert judged(an_asset(grants=(one(collection, False), one(own, True))))[0]
    assert not judged(an_asset(grants=(one(collection, True), one(own, False))))[0]
    assert not judged(an_asset(grants=(one(own, True), one(own, False))))[0]


def test_sensitive_needs_a_cleared_group_besides_the_grant() -> None:
    asset = an_asset(sensitive=True)
    assert not judged(asset)[0]
    assert judged(asset, Principal("ann", groups=frozenset({"cleared"})))[0]
    assert not judged(an_asset(sensitive=True, grants=()), Principal("ann", groups=frozenset({"cleared"})))[0]


def test_days_are_those_of_the_librarys_time_zone() -> None:
    asset = under(valid_until=TODAY)
    late = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    in_berlin = policy.Settings(time_zone="Europe/Berlin")
    assert policy.verdict(asset, VIEWER, None, late).findable
    assert not policy.verdict(asset, VIEWER, None, late, in_berlin).findable
    with pytest.raises(ValueError, match="time-zone aware"):
        policy.verdict(asset, VIEWER, None, NOW.replace(tzinfo=None))


def test_nobody_else_makes_or_widens_a_scope() -> None:
    columns = Columns().updated(put=[an_asset(0), an_asset(1, grants=())], collection_grants={"c": an_asset().grants})
    scope = policy.scope(VIEWER, None, NOW, columns, SETTINGS)
    assert list(scope.assets) == [0, 1], "the second asset has no grants of its own, so its collection's hold"
    assert list(scope.narrowed(columns.of("status", "draft")).narrowed(columns.all).assets) == []
    assert scope.narrowed(columns.all) is scope
    with pytest.raises(TypeError):
        policy.Scope(object(), columns.all, columns.all, columns.all, {})
