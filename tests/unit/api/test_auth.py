"""Tokens: what the library signed holds, for its time and no longer; everything else is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from api.auth import OWNER, Tokens, check_sign_in, is_loopback, read_people
from api.settings import Settings
from search.errors import BadSettings, Unauthenticated
from search.types import Principal, Role

SECRET = b"s" * 32
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANN = Principal("ann", frozenset({"marketing"}), frozenset({Role.steward}))


def tokens(at: datetime = NOW) -> Tokens:
    return Tokens(SECRET, clock=lambda: at)


def claims(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "sub": "ann",
        "iss": "loupe",
        "aud": "loupe",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + timedelta(hours=1),
        "roles": ["viewer"],
        "groups": [],
    }
    return {name: value for name, value in (plain | changes).items() if value is not None}


def test_a_token_speaks_for_whom_it_was_made() -> None:
    token, ends = tokens().make(ANN, timedelta(hours=1))
    assert tokens().read(token) == ANN
    assert ends == NOW + timedelta(hours=1)


@pytest.mark.parametrize("later", [timedelta(hours=-1), timedelta(hours=1), timedelta(days=400)])
def test_it_holds_from_its_making_to_its_end(later: timedelta) -> None:
    token, _ = tokens().make(ANN, timedelta(hours=1))
    with pytest.raises(Unauthenticated):
        tokens(NOW + later).read(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"iss": "another"},
        {"exp": None},
        {"nbf": None},
        {"sub": None},
        {"roles": None},
        {"groups": None},
        {"roles": ["king"]},
        {"roles": "administrator"},
        {"groups": "marketing"},
        {"groups": [1]},
        {"exp": "never"},
    ],
)
def test_claims_that_are_not_ours_are_refused(changes: dict[str, Any]) -> None:
    token = jwt.encode(claims(**changes), SECRET, algorithm="HS256")
    with pytest.raises(Unauthenticated):
        tokens().read(token)


def test_other_keys_and_algorithms_are_refused() -> None:
    assert tokens().read(jwt.encode(claims(), SECRET, algorithm="HS256")).user == "ann"
    for forged in (
        jwt.encode(claims(), b"x" * 32, algorithm="HS256"),
        jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        jwt.encode(claims(), "", algorithm="none"),
        "",
        "a.b.c",
    ):
        with pytest.raises(Unauthenticated):
            tokens().read(forged)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "[::1]", "localhost"])
def test_the_local_sign_in_is_served_to_this_machine(host: str) -> None:
    assert is_loopback(host)
    check_sign_in(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", "localhost.example.org", ""])  # noqa: S104
def test_and_to_no_other(host: str) -> None:
    with pytest.raises(BadSettings, match="sign-in"):
        check_sign_in(Settings(host=host))
    check_sign_in(Settings(host=host, sign_in="token"))


def test_people_are_read_or_the_owner_is_alone(tmp_path: Path) -> None:
    assert read_people(tmp_path) == (OWNER,)
    (tmp_path / "people.json").write_text('[{"user": "ann", "name": "Ann", "roles": ["auditor"]}]')
    assert read_people(tmp_path)[0].principal.roles == {Role.auditor}
    for wrong in (b'[{"user": "ann", "name": "Ann", "roles": ["king"]}]', b'[{"user": "\xff", "name": "Ann"}]'):
        (tmp_path / "people.json").write_bytes(wrong)
        with pytest.raises(BadSettings, match=r"people\.json"):
            read_people(tmp_path)
