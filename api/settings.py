"""The settings of Loupe: from `loupe.toml`, over it the environment (`LOUPE_*`), over both the command line."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from search.errors import BadSettings
from search.types import Language, Licence, Release, Status

_FILE: Final = "loupe.toml"
_PREFIX: Final = "LOUPE_"
_LISTS: Final = ("languages", "sensitive_groups")

#: Bytes or pixels; the most is what no machine has, and what numbers of 64 bits still hold.
_Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 60)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting with its default; the comment on each is its documentation."""

    #: Where the library is kept.
    data_dir: str = ".loupe"
    #: The address to serve on. Any but a loopback address needs `sign_in = "token"`.
    host: str = "127.0.0.1"
    #: The port to serve on.
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8484
    #: How many processes search, besides one that answers people: on Linux as many as there are cores, so that searches
    #: do not wait for each other. With 1, the one that answers searches itself. They share what they were started with.
    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    #: How people sign in: "local" (pick a person, loopback only) or "token" (bearer tokens made by `loupe token`).
    sign_in: Literal["local", "token"] = "local"
    #: How long a sign-in lasts, in hours.
    session_hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 30)] = 12
    #: The model that sees pictures, such as "ViT-B-32/datacomp_xl_s13b_b90k"; when empty, the one that
    #: `loupe model use` chose, and "loupe-mini" before.
    model: str = ""
    #: Where pulled and trained models are kept; in the data directory when empty.
    models_dir: str = ""
    #: The languages whose endings are known in keyword search, as ISO 639-1 codes, `;`-separated in the environment.
    #: Another choice has the search index made anew at the next start.
    languages: Annotated[tuple[Language, ...], msgspec.Meta(min_length=1)] = (Language.english,)
    #: How a model of open_clip runs: "auto" is the fastest way here that leaves its vectors as they are in float32.
    runtime: Literal["auto", "float32", "bfloat16"] = "auto"
    #: The time zone in which embargoes end and licences expire.
    time_zone: str = "UTC"
    #: Groups whose members may find sensitive assets (besides a grant).
    sensitive_groups: list[str] = []
    #: The status of an indexed file about which nothing is said.
    default_status: Status = Status.approved
    #: Who may do what with an indexed file about which nothing is said, `;`-separated.
    default_grants: str = "everyone=find,use,review"
    #: The licence of an indexed file about whose licence nothing is said. An unknown one clears nothing.
    default_licence: Licence = Licence.unknown
    #: The model and property release of an asset about whose releases nothing is said.
    default_release: Release = Release.not_needed
    #: How many files are decoded side by side.
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    #: The largest picture that is decoded, in pixels.
    max_pixels: _Size = 120_000_000
    #: The largest file that is decoded, in bytes.
    max_bytes: _Size = 4_000_000_000
    #: The longest time that decoding one file may take, in seconds: a day at most, for no clock waits without end.
    decode_seconds: Annotated[float, msgspec.Meta(gt=0, le=24 * 60 * 60)] = 300.0
    #: The most memory that decoding one file may take, in bytes.
    decode_memory: _Size = 3_000_000_000
    #: The largest request that the server reads, in bytes (query images).
    max_upload: _Size = 25_000_000


def load(overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force. Raises BadSettings, naming the file or variable and what was expected."""
    named = environment.get("LOUPE_CONFIG")
    path = Path(named or _FILE)
    values: dict[str, Any] = {}
    if path.is_file():
        values = _checked(_read(path), str(path))
    elif named:
        raise BadSettings(f"LOUPE_CONFIG names {named}, which is not a file.")
    for name, value in environment.items():
        if name.startswith(_PREFIX) and name != "LOUPE_CONFIG":
            values |= _checked({name.removeprefix(_PREFIX).lower(): value}, name)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    settings = msgspec.convert(values | _checked(given, "the command line"), Settings)
    try:
        ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadSettings(
            f"time_zone: there is no {settings.time_zone!r}.", "Use a name such as Europe/Berlin."
        ) from error
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadSettings(f"{path} cannot be read: {error}.") from error


def _checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values, converted, or BadSettings that names where the bad one stands."""
    if unknown := sorted(values.keys() - set(Settings.__struct_fields__)):
        raise BadSettings(f"{where}: there is no setting {unknown[0]!r}.", "README.md lists all settings.")
    plain = {
        name: value.split(";") if name in _LISTS and isinstance(value, str) else value for name, value in values.items()
    }
    try:
        whole = msgspec.convert(plain, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise BadSettings(f"{where}: {error}.", "README.md says what each setting takes.") from error
    return {name: getattr(whole, name) for name in plain}


def languages(settings: Settings) -> tuple[Language, ...]:
    """The languages of the library, each once, in a fixed order."""
    return tuple(sorted(set(settings.languages)))


def models_directory(settings: Settings) -> Path:
    """Where pulled and trained models are kept."""
    return Path(settings.models_dir).expanduser() if settings.models_dir else Path(settings.data_dir) / "models"
