"""Who is asking: bearer tokens in, principals out.

A token is a JWT signed by the library's own secret (HS256). Algorithm, issuer, audience, expiry and not-before are
pinned, and every claim is required, so that no token can widen itself. Whoever brings none is the anonymous public,
nothing more; a token that does not hold is refused, not ignored.
"""

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from litestar.connection import ASGIConnection

from api.settings import Settings
from search.errors import BadSettings, Unauthenticated
from search.types import Principal, Role

COOKIE: Final = "loupe_session"
_NAME: Final = "loupe"
_ALGORITHM: Final = "HS256"
_CLAIMS: Final = ["sub", "iss", "aud", "exp", "nbf", "iat", "roles", "groups"]

ANONYMOUS: Final = Principal("", roles=frozenset(), signed_in=False)


class Person(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Someone who can be picked at the local sign-in."""

    user: str
    name: str
    about: str = ""
    groups: tuple[str, ...] = ()
    roles: tuple[Role, ...] = (Role.viewer,)

    @property
    def principal(self) -> Principal:
        return Principal(self.user, frozenset(self.groups), frozenset(self.roles))


#: Who signs in where no people are named: the person at this machine.
OWNER: Final = Person("owner", "You", "The owner of this library", roles=(Role.administrator,))


def read_people(directory: Path) -> tuple[Person, ...]:
    """The people of a library's `people.json`, or its owner alone. Raises BadSettings."""
    path = directory / "people.json"
    if not path.is_file():
        return (OWNER,)
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Person, ...])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: {error}.") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on that address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_sign_in(settings: Settings) -> None:
    """The local sign-in asks no password, so it must not be reachable from elsewhere. Raises BadSettings."""
    if settings.sign_in == "local" and not is_loopback(settings.host):
        raise BadSettings(
            f"The local sign-in lets anyone be anyone, so it is not served on {settings.host}.",
            'Serve on 127.0.0.1, or set sign_in = "token" and make tokens with `loupe token`.',
        )


class Tokens:
    """Makes and reads the tokens of one library."""

    def __init__(self, secret: bytes, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._secret = secret
        self._clock = clock

    def make(self, principal: Principal, lifetime: timedelta) -> tuple[str, datetime]:
        """A token for the principal and when it ends."""
        now = self._clock()
        ends = now + lifetime
        claims = {
            "sub": principal.user,
            "iss": _NAME,
            "aud": _NAME,
            "iat": now,
            "nbf": now,
            "exp": ends,
            "roles": sorted(principal.roles),
            "groups": sorted(principal.groups),
        }
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM), ends

    def read(self, token: str) -> Principal:
        """Whom a token speaks for. Raises Unauthenticated."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=_NAME,
                audience=_NAME,
                options={"require": _CLAIMS, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            times = msgspec.convert({name: claims[name] for name in ("nbf", "exp")}, dict[str, int])
            if not times["nbf"] <= self._clock().timestamp() < times["exp"]:
                raise Unauthenticated("The token is not valid at this time.", "Sign in again.")
            groups = msgspec.convert(claims["groups"], frozenset[str])
            roles = msgspec.convert(claims["roles"], frozenset[Role])
        except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
            raise Unauthenticated("The token does not hold.", "Sign in again.") from error
        return Principal(claims["sub"], groups, roles)

    def principal_of(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
        """Whom a request comes from: the bearer token, else the page's session cookie, else anonymous."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme:
            if scheme.lower() != "bearer":
                raise Unauthenticated("Only bearer tokens are taken.", "Send `Authorization: Bearer TOKEN`.")
            return self.read(token.strip())
        cookie = connection.cookies.get(COOKIE)
        return self.read(cookie) if cookie else ANONYMOUS
