"""THE GATE: who may find which assets, and who may use them where.

Two forms of the same rules, held equal by a property test:

* `verdict(asset, principal, usage, now)` judges one asset and says why;
* `scope(principal, usage, now, columns)` judges all assets at once, as bitmaps.

Each rule stands once, in `RULES`, with both forms side by side. No other module decides, and only this one can make a
`Scope`; engines accept nothing less.

How permission and rights meet: a role is a ceiling on actions, a grant gives an action on a collection or an asset (the
asset's own grants outrank its collection's; deny beats allow within one level; silence is no). What a person may find
may still not be cleared for their use: the rules below say for which reasons, all of which are listed.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from pyroaring import BitMap

from search.bitmaps import Key
from search.columns import BLOCKING_RELEASES, Columns, GrantKey
from search.kept import Kept
from search.types import (
    Action,
    Asset,
    Channel,
    Clearance,
    Grant,
    Licence,
    Principal,
    Reason,
    ResourceKind,
    Role,
    Status,
    SubjectKind,
    Usage,
)

ROLE_ACTIONS: Final[Mapping[Role, frozenset[Action]]] = {
    Role.viewer: frozenset({Action.find, Action.use}),
    Role.steward: frozenset({Action.find, Action.use, Action.review}),
    Role.auditor: frozenset({Action.find, Action.audit}),
    Role.administrator: frozenset(Action),
}

#: Channels that address the public, for which the people and places shown must have agreed.
ADVERTISING: Final = frozenset(Channel) - {Channel.internal}
#: Where editorial material may appear.
EDITORIAL: Final = frozenset({Channel.internal, Channel.web})


class Settings(msgspec.Struct, frozen=True):
    """What an organisation decides about the gate: its calendar, and who is cleared for sensitive material."""

    time_zone: str = "UTC"
    sensitive_groups: frozenset[str] = frozenset()


class Verdict(msgspec.Struct, frozen=True):
    """The judgement of one asset. `reasons` speak of use; who may not find the asset must not be told them."""

    findable: bool
    reviewable: bool
    reasons: tuple[Reason, ...]

    @property
    def cleared(self) -> bool:
        return self.findable and not self.reasons

    @property
    def clearance(self) -> Clearance:
        return Clearance(self.cleared, self.reasons)


class _Case(msgspec.Struct, frozen=True):
    """The question put to each rule: today, the first and last day of use, and where."""

    today: date
    first: date
    last: date
    channel: Channel | None
    territory: str | None


class _Rule(msgspec.Struct, frozen=True):
    """One reason against use: for one asset, and for all."""

    reason: Reason
    of_one: Callable[[Asset, _Case], bool]
    of_all: Callable[[Columns, _Case], BitMap]


def _not_approved(asset: Asset, case: _Case) -> bool:
    return asset.status is not Status.approved


def _all_not_approved(columns: Columns, case: _Case) -> BitMap:
    return columns.all - columns.of("status", Status.approved.value)


def _embargoed(asset: Asset, case: _Case) -> bool:
    """An embargo binds on every day of the use, and today: nobody takes the original before it ends."""
    start = asset.rights.valid_from
    return start is not None and start > min(case.today, case.first)


def _all_embargoed(columns: Columns, case: _Case) -> BitMap:
    return columns.dated("valid_from", after=min(case.today, case.first))


def _expired(asset: Asset, case: _Case) -> bool:
    """`valid_until` is the last day included."""
    end = asset.rights.valid_until
    return end is not None and end < max(case.today, case.last)


def _all_expired(columns: Columns, case: _Case) -> BitMap:
    return columns.dated("valid_until", before=max(case.today, case.last))


def _rights_unknown(asset: Asset, case: _Case) -> bool:
    return asset.rights.licence is Licence.unknown


def _all_rights_unknown(columns: Columns, case: _Case) -> BitMap:
    return columns.of("licence", Licence.unknown.value)


def _release_missing(asset: Asset, case: _Case) -> bool:
    """A channel not named might be an advertising one, so only `internal` is let through."""
    releases = {asset.rights.model_release, asset.rights.property_release}
    return case.channel is not Channel.internal and not releases.isdisjoint(BLOCKING_RELEASES)


def _all_release_missing(columns: Columns, case: _Case) -> BitMap:
    return BitMap() if case.channel is Channel.internal else columns.of("release_blocked", True)


def _channel_excluded(asset: Asset, case: _Case) -> bool:
    """Editorial material waits for a channel to be named; a list of channels binds the channel that is named."""
    if asset.rights.licence is Licence.editorial and case.channel not in EDITORIAL:
        return True
    return case.channel is not None and bool(asset.rights.channels) and case.channel not in asset.rights.channels


def _all_channel_excluded(columns: Columns, case: _Case) -> BitMap:
    excluded = BitMap()
    if case.channel not in EDITORIAL:
        excluded |= columns.of("licence", Licence.editorial.value)
    if case.channel is not None:
        excluded |= columns.all - columns.any_of("channel", ("any", case.channel.value))
    return excluded


def _territory_excluded(asset: Asset, case: _Case) -> bool:
    if case.territory is None:
        return False
    listed = asset.rights.territories
    return case.territory in asset.rights.excluded_territories or (bool(listed) and case.territory not in listed)


def _all_territory_excluded(columns: Columns, case: _Case) -> BitMap:
    if case.territory is None:
        return BitMap()
    allowed = columns.any_of("territory", ("any", case.territory))
    return (columns.all - allowed) | columns.of("excluded_territory", case.territory)


RULES: Final = (
    _Rule(Reason.not_approved, _not_approved, _all_not_approved),
    _Rule(Reason.embargoed, _embargoed, _all_embargoed),
    _Rule(Reason.expired, _expired, _all_expired),
    _Rule(Reason.rights_unknown, _rights_unknown, _all_rights_unknown),
    _Rule(Reason.release_missing, _release_missing, _all_release_missing),
    _Rule(Reason.channel_excluded, _channel_excluded, _all_channel_excluded),
    _Rule(Reason.territory_excluded, _territory_excluded, _all_territory_excluded),
)

#: Reasons that, if they hold today, also hide the asset from everyone who may not review it.
HIDING: Final = frozenset({Reason.not_approved, Reason.embargoed, Reason.expired})


#: Scopes that are kept; each holds some bitmaps over all assets.
_KEPT: Final = 16

_MAKER: Final = object()


class Scope:
    """The assets one principal may find for one usage at one moment. Made by `scope`; can be narrowed, never widened.

    `assets` are the ordinals to search, `cleared` those of them that may be used so, `reviewable` those whose
    status the person may see, `by_reason` those that a reason speaks against. All are subsets of `assets`. Do not
    modify them. What is not asked for is not cut down to the assets: narrowing costs one operation.
    """

    __slots__ = ("_by_reason", "_cleared", "_key", "_reviewable", "assets")

    def __init__(
        self, maker: object, assets: BitMap, cleared: BitMap, reviewable: BitMap, by_reason: Mapping[Reason, BitMap]
    ) -> None:
        if maker is not _MAKER:
            raise TypeError("only search.policy makes a Scope")
        self.assets = assets
        self._cleared = cleared
        self._reviewable = reviewable
        self._by_reason = by_reason
        self._key: Key | None = None

    @property
    def key(self) -> Key:
        """What tells its assets from those of others: under this, what was worked out of them may be kept."""
        if self._key is None:
            self._key = Key(self.assets)
        return self._key

    def narrowed(self, assets: BitMap) -> "Scope":
        """This scope less every asset that is not among `assets`; itself, with what is known of it, if all are."""
        left = self.assets & assets
        if len(left) == len(self.assets):
            return self
        return Scope(_MAKER, left, self._cleared, self._reviewable, self._by_reason)

    @property
    def cleared(self) -> BitMap:
        return self._cleared & self.assets

    @property
    def reviewable(self) -> BitMap:
        return self._reviewable & self.assets

    @property
    def by_reason(self) -> dict[Reason, BitMap]:
        return {reason: blocked & self.assets for reason, blocked in self._by_reason.items()}

    def __contains__(self, ordinal: int) -> bool:
        return ordinal in self.assets

    def __len__(self) -> int:
        return len(self.assets)


def verdict(
    asset: Asset, principal: Principal, usage: Usage | None, now: datetime, settings: Settings = Settings()
) -> Verdict:
    """Judge one asset. `asset.grants` must hold its own grants and its collection's; `now` must be time-zone aware."""
    case = _case(usage, now, settings)
    subjects = _subjects(principal)
    said = [grant for grant in asset.grants if GrantKey.subject_of(grant) in subjects]
    reviewable = _granted(said, principal, Action.review)
    findable = _granted(said, principal, Action.find) and (
        not asset.sensitive or not principal.groups.isdisjoint(settings.sensitive_groups)
    )
    if findable and not reviewable:
        today = _case(None, now, settings)
        findable = not any(rule.of_one(asset, today) for rule in RULES if rule.reason in HIDING)
    reasons = tuple(rule.reason for rule in RULES if rule.of_one(asset, case))
    if not _granted(said, principal, Action.use):
        reasons = (*reasons, Reason.use_not_granted)
    return Verdict(findable, findable and reviewable, reasons)


def scope(
    principal: Principal, usage: Usage | None, now: datetime, columns: Columns, settings: Settings = Settings()
) -> Scope:
    """Judge all assets: the same answer as `verdict`, as sets. Costs bitmap operations only, however many assets."""
    case = _case(usage, now, settings)
    today = _case(None, now, settings)
    reviewable = _all_granted(columns, principal, Action.review)
    findable = _all_granted(columns, principal, Action.find)
    if principal.groups.isdisjoint(settings.sensitive_groups):
        findable = findable - columns.of("sensitive", True)
    by_reason = {rule.reason: rule.of_all(columns, case) for rule in RULES}
    hiding = (
        by_reason[rule.reason] if case == today else rule.of_all(columns, today)
        for rule in RULES
        if rule.reason in HIDING
    )
    hidden = BitMap.union(BitMap(), *hiding)
    findable = findable - (hidden - reviewable)
    by_reason[Reason.use_not_granted] = columns.all - _all_granted(columns, principal, Action.use)
    cleared = findable - BitMap.union(BitMap(), *by_reason.values())
    return Scope(_MAKER, findable, cleared, reviewable, by_reason)


class Scopes:
    """The scopes over some columns, which never change: kept for those who ask again, on the same day and for the same
    use. Safe to share between threads."""

    def __init__(self, columns: Columns, settings: Settings) -> None:
        self._columns = columns
        self._settings = settings
        self._kept: Kept[Scope] = Kept(_KEPT)

    def of(self, principal: Principal, usage: Usage | None, now: datetime) -> Scope:
        """See `scope`. A person who is in another group, or has another role, is another principal."""
        known_by = principal, _case(usage, now, self._settings), _case(None, now, self._settings)
        return self._kept.of(known_by, lambda: scope(principal, usage, now, self._columns, self._settings))


def may(principal: Principal, action: Action) -> bool:
    """Whether the person's roles bear an action that is not about one asset (audit, administer)."""
    return principal.signed_in and any(action in ROLE_ACTIONS[role] for role in principal.roles)


def _case(usage: Usage | None, now: datetime, settings: Settings) -> _Case:
    if now.tzinfo is None:
        raise ValueError("now must be time-zone aware: a day begins at another moment in each time zone")
    today = now.astimezone(ZoneInfo(settings.time_zone)).date()
    if usage is None:
        return _Case(today, today, today, None, None)
    first = usage.on or today
    return _Case(today, first, usage.until or first, usage.channel, usage.territory)


@lru_cache
def _subjects(principal: Principal) -> frozenset[str]:
    """The names under which grants speak of this principal."""
    public = f"{SubjectKind.public.value}:"
    if not principal.signed_in:
        return frozenset({public})
    groups = {f"{SubjectKind.group.value}:{group}" for group in principal.groups}
    return frozenset({public, f"{SubjectKind.everyone.value}:", f"{SubjectKind.user.value}:{principal.user}"} | groups)


def _has_role_for(principal: Principal, action: Action) -> bool:
    """The ceiling. The anonymous public has no role; grants to `public` can give it `find` and `use` at most."""
    if not principal.signed_in:
        return action in ROLE_ACTIONS[Role.viewer]
    return any(action in ROLE_ACTIONS[role] for role in principal.roles)


def _granted(said: Iterable[Grant], principal: Principal, action: Action) -> bool:
    """What the grants that speak of this person come to: the asset's own outrank its collection's, deny beats allow,
    and silence is no."""
    if not _has_role_for(principal, action):
        return False
    for level in (ResourceKind.asset, ResourceKind.collection):
        if decided := [grant.allow for grant in said if grant.action is action and grant.resource_kind is level]:
            return all(decided)
    return False


def _all_granted(columns: Columns, principal: Principal, action: Action) -> BitMap:
    if not _has_role_for(principal, action):
        return BitMap()
    subjects = _subjects(principal)
    own, inherited = (
        [
            columns.any_of(column, (GrantKey(subject, action.value, allow) for subject in subjects))
            for allow in (True, False)
        ]
        for column in ("grant", "collection_grant")
    )
    return ((inherited[0] - inherited[1]) | own[0]) - own[1]
