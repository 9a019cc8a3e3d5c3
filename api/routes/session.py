"""Who am I, and the local sign-in (loopback only)."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from litestar import Response, get, post
from litestar.datastructures import Cookie, State

from api.auth import COOKIE, Person, Tokens
from search.errors import NotFound
from search.types import Principal, Role


class SessionOut(msgspec.Struct, frozen=True, rename="camel"):
    user: str
    name: str
    about: str
    roles: tuple[Role, ...]
    groups: tuple[str, ...]
    signed_in: bool
    sign_in: Literal["demo", "token"]


class PersonOut(msgspec.Struct, frozen=True, rename="camel"):
    user: str
    name: str
    about: str
    roles: tuple[Role, ...]


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user: str


class SignedIn(msgspec.Struct, frozen=True, rename="camel"):
    token: str
    expires_at: datetime


@get("/v1/session", sync_to_thread=False)
def session(principal: Principal, state: State) -> SessionOut:
    """Whom the caller's token speaks for, and which ways to sign in there are."""
    people: dict[str, Person] = state.people
    person = people.get(principal.user, Person(principal.user, principal.user))
    return SessionOut(
        principal.user,
        person.name,
        person.about,
        tuple(sorted(principal.roles)),
        tuple(sorted(principal.groups)),
        principal.signed_in,
        "demo" if people else "token",
    )


@get("/v1/demo/people", sync_to_thread=False)
def people(state: State) -> tuple[PersonOut, ...]:
    """Those who can be picked at the local sign-in; none where people sign in with tokens."""
    return tuple(PersonOut(one.user, one.name, one.about, one.roles) for one in state.people.values())


@post("/v1/demo/sign-in", status_code=200, sync_to_thread=False)
def sign_in(data: SignIn, state: State) -> Response[SignedIn]:
    """Become one of the people. There is no such door but on a loopback address."""
    person: Person | None = state.people.get(data.user)
    if person is None:
        raise NotFound("There is no such person to sign in as.")
    tokens: Tokens = state.tokens
    token, ends = tokens.make(person.principal, timedelta(hours=state.session_hours))
    cookie = Cookie(
        key=COOKIE, value=token, httponly=True, samesite="strict", path="/", max_age=state.session_hours * 3600
    )
    return Response(SignedIn(token, ends), cookies=[cookie])


@post("/v1/demo/sign-out", status_code=204, sync_to_thread=False)
def sign_out() -> Response[None]:
    """Forget the page's session cookie."""
    response: Response[None] = Response(None, status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response
