"""Reads manifests: tables (CSV or JSON Lines) that say what is known of the files beside them, one row an asset.

Useful for: rights, texts and grants that come from a DAM export, a spreadsheet or a `NAME.json` sidecar.
Not useful for: metadata embedded in the files themselves.

A manifest is written by people, so each bad value is named by file, row and column with what was expected; its row is
left out and the others go in. What cannot be read as a manifest at all raises `BadManifest`. Lines are read one by one
and bounded, so that no file, however made, takes more memory than its rows need.
"""

import csv
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import msgspec

from search.errors import BadManifest
from search.types import Action, Channel, Licence, Release, Status, SubjectKind

#: Bounds, in characters and in values of a list. A line may hold several long texts.
MAX_TEXT: Final = 20_000
MAX_LINE: Final = 1_000_000
MAX_VALUES: Final = 1_000

#: The officially assigned ISO 3166-1 alpha-2 codes (2024). "UK" is not one of them; "GB" is.
TERRITORIES: Final = frozenset(
    re.findall(
        "[A-Z]{2}",
        """
        AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
        CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
        FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
        JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
        MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
        PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
        TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
        """,
    )
)

#: IPTC NewsCodes "digital source type", with the three retired codes that files in the wild still carry.
#: https://cv.iptc.org/newscodes/digitalsourcetype/
DIGITAL_SOURCE_TYPES: Final = (
    "digitalCapture",
    "computationalCapture",
    "negativeFilm",
    "positiveFilm",
    "print",
    "humanEdits",
    "algorithmicallyEnhanced",
    "digitalCreation",
    "dataDrivenMedia",
    "trainedAlgorithmicMedia",
    "algorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "screenCapture",
    "virtualRecording",
    "composite",
    "compositeCapture",
    "compositeSynthetic",
    "minorHumanEdits",
    "softwareImage",
    "digitalArt",
)

_REMEDY: Final = "Correct it and index again."
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_SOURCE_TYPE: Final = re.compile(r"(?:https?://cv\.iptc\.org/newscodes/digitalsourcetype/|digsrctype:)", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class GrantRule(msgspec.Struct, frozen=True):
    """A grant as written beside its asset or collection. `subject` is empty for `everyone` and `public`."""

    subject_kind: SubjectKind
    subject: str
    actions: tuple[Action, ...]
    allow: bool


class ManifestRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one row says of one asset; None is "not said", an empty tuple is "said to be none".

    `line` is the row as a spreadsheet counts it (the header is row 1); in JSON Lines it is the line. `path` is relative
    to the manifest's folder, with `/` between folders and no `..`.
    """

    line: int
    path: str
    id: str | None = None
    title: str | None = None
    description: str | None = None
    keywords: tuple[str, ...] | None = None
    collection: str | None = None
    status: Status | None = None
    sensitive: bool | None = None
    creator: str | None = None
    created: date | None = None
    credit_line: str | None = None
    licence: Licence | None = None
    licence_url: str | None = None
    rights_holder: str | None = None
    usage_terms: str | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    territories: tuple[str, ...] | None = None
    excluded_territories: tuple[str, ...] | None = None
    channels: tuple[Channel, ...] | None = None
    model_release: Release | None = None
    property_release: Release | None = None
    digital_source_type: str | None = None
    alt_text: str | None = None
    source: str | None = None
    grants: tuple[GrantRule, ...] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """The good rows, in the file's order, and what was wrong with the others."""

    rows: tuple[ManifestRow, ...]
    problems: tuple[BadManifest, ...]


class _UnexpectedError(ValueError):
    """A value is not what its column holds; the text says what was expected."""


def read_manifest(path: Path) -> Manifest:
    """Read a `.csv`, `.jsonl` or `.ndjson` manifest in UTF-8, with or without a byte order mark.

    Raises `BadManifest` if the file as a whole is no manifest: unreadable, not text, another format, no `path` column.
    """
    readers = {".csv": _csv_records, ".jsonl": _json_records, ".ndjson": _json_records}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadManifest(f"{path}: is not a manifest by its name.", "Manifests are .csv or .jsonl files.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _collect(reader(stream, str(path)), str(path))
    except OSError as error:
        raise BadManifest(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadManifest(
            f"{path}: is not UTF-8 text ({error.reason} in the bytes {error.object[error.start : error.end].hex()}).",
            "Save it as UTF-8 and index again; spreadsheets call it “CSV UTF-8”.",
        ) from error


def parse_fields(raw: Mapping[str, object], *, file: str, row: int) -> ManifestRow:
    """Read one row's values, as texts (lists `;`-separated) or as JSON values; `path` must be among them.

    Columns that are not known are passed over: `unknown_columns` names them. Raises one `BadManifest` that lists every
    bad value of the row.
    """
    values, problems = _parse(raw, file, row)
    if problems:
        raise BadManifest(" ".join(problem.message for problem in problems), _REMEDY)
    return ManifestRow(line=row, **values)


def unknown_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that no manifest column bears."""
    return tuple(name for name in names if _column(name) not in COLUMNS)


def parse_grant(text: str) -> GrantRule:
    """Read `group:marketing=find,use`, `user:mara=find`, `everyone=find` or `public=find`; a leading `-` denies."""
    try:
        return _grant(text)
    except _UnexpectedError as error:
        raise BadManifest(f"grant {_shown(text)}: expected {error}.", _REMEDY) from error


def digital_source_code(text: str) -> str:
    """The IPTC code for a code, a `digsrctype:` name or a NewsCodes URI, whatever its case. Raises `BadManifest`."""
    try:
        return _source_type(text)
    except _UnexpectedError as error:
        raise BadManifest(f"digital source type {_shown(text)}: expected {error}.", _REMEDY) from error


# One row as its reader found it: the row number, and its values or what was wrong.
_Record = tuple[int, Mapping[str, object] | BadManifest]


def _collect(records: Iterator[_Record], file: str) -> Manifest:
    """Parse records, and leave out those that repeat a path or an id."""
    rows: list[ManifestRow] = []
    problems: list[BadManifest] = []
    seen: dict[tuple[str, str], int] = {}
    strange: set[str] = set()
    for number, record in records:
        if isinstance(record, BadManifest):
            problems.append(record)
            continue
        for name in unknown_columns(record):
            if name not in strange:
                strange.add(name)
                problems.append(_unknown(file, number, name))
        values, bad = _parse(record, file, number)
        names = [(column, values[column]) for column in ("path", "id") if values.get(column) is not None]
        bad += [_repeated(file, number, *name, seen[name]) for name in names if name in seen]
        if bad:
            problems += bad
            continue
        seen.update(dict.fromkeys(names, number))
        rows.append(ManifestRow(line=number, **values))
    return Manifest(tuple(rows), tuple(problems))


def _parse(raw: Mapping[str, object], file: str, row: int) -> tuple[dict[str, Any], list[BadManifest]]:
    values: dict[str, Any] = {}
    problems: list[BadManifest] = []
    for name, value in raw.items():
        column = _column(name)
        if column not in COLUMNS:
            continue
        if column in values:
            problems.append(_problem(file, row, column, "is given twice, under names that differ in case only"))
            continue
        try:
            values[column] = _read(column, value)
        except _UnexpectedError as error:
            values[column] = None
            problems.append(_problem(file, row, column, f"{_shown(value)} given, expected {error}"))
    if not problems and values.get("path") is None:
        problems.append(_problem(file, row, "path", "is empty, expected the path of the asset's file"))
    first, last = values.get("valid_from"), values.get("valid_until")
    if first is not None and last is not None and first > last:
        problems.append(_problem(file, row, "valid_from", f"{first} is after valid_until {last}; expected a range"))
    return values, problems


def _read(column: str, value: object) -> object:
    """One cell's value. An empty cell says nothing, but an empty `grants` cell says that there are none."""
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return () if column == "grants" else None
    return None if value is None else COLUMNS[column](value)


# Readers: from a stream to records.


def _lines(stream: TextIO, file: str) -> Iterator[str]:
    """Physical lines, each bounded, so that a file without line ends cannot fill the memory."""
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise BadManifest(f"{file}: a line is longer than {MAX_LINE:,} characters.")
        if "\0" in line:
            raise BadManifest(f"{file}: is not text; it holds NUL characters.", "A manifest is UTF-8.")
        yield line


def _csv_records(stream: TextIO, file: str) -> Iterator[_Record]:
    # strict: a stray quote is told to its writer instead of swallowing the rows that follow.
    reader = csv.reader(_lines(stream, file), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise BadManifest(f"{file}, row 1: is not CSV: {error}.") from error
    _check_header(header, file)
    row = 1
    while True:
        row += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield row, BadManifest(f"{file}, row {row}: is not CSV: {error}.", _REMEDY)
            continue
        if len(cells) > len(header):
            yield (
                row,
                BadManifest(
                    f"{file}, row {row}: has {len(cells)} cells, but the header names {len(header)} columns.",
                    "Put texts that hold a comma in double quotes.",
                ),
            )
        elif any(cell.strip() for cell in cells):
            # Spreadsheets drop empty cells at a row's end.
            yield row, dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True))


def _check_header(header: Sequence[str], file: str) -> None:
    names = [_column(name) for name in header]
    if "path" not in names:
        raise BadManifest(
            f"{file}, row 1: no column is called path; found {_shown(', '.join(header))}.",
            "The first row names the columns, separated by commas; path is the one that every manifest needs.",
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadManifest(f"{file}, row 1: named more than once: {', '.join(twice) or 'a column without a name'}.")


def _json_records(stream: TextIO, file: str) -> Iterator[_Record]:
    any_good = False
    for row, line in enumerate(_lines(stream, file), 1):
        if not line.strip():
            continue
        try:
            values = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            values = error
        if isinstance(values, dict):
            any_good = True
            yield row, values
            continue
        expected = f"{file}, row {row}: expected one JSON object on the line"
        found = f"it is not JSON ({values})" if isinstance(values, Exception) else f"found {_shown(values)}"
        if not any_good:
            raise BadManifest(f"{expected}, {found}.", "Write JSON Lines: one {…} a line, no brackets around them.")
        yield row, BadManifest(f"{expected}, {found}.", _REMEDY)


# Converters: from a value that is not empty to what its column holds.


def _text(value: object) -> str:
    # Exports write numeric ids and titles bare; bool is an int to Python but not to anyone else.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    if not isinstance(value, str):
        raise _UnexpectedError("a text")
    if len(value) > MAX_TEXT:
        raise _UnexpectedError(f"at most {MAX_TEXT:,} characters, not {len(value):,}")
    if _CONTROL.search(value):
        raise _UnexpectedError("a text without control characters")
    return value


def _path(value: object) -> str:
    text = _text(value)
    if text.startswith("/") or "\\" in text or _DRIVE.match(text):
        raise _UnexpectedError("a path relative to the manifest's folder, with / between folders")
    path = posixpath.normpath(text)
    if path == "." or path.split("/")[0] == "..":
        raise _UnexpectedError("the path of a file inside the manifest's folder")
    return path


def _id(value: object) -> str:
    text = _text(value)
    if not _ID.fullmatch(text):
        raise _UnexpectedError("up to 128 letters, digits and . _ : ~ - that begin with a letter or digit")
    return text


def _url(value: object) -> str:
    # Shown as a link, so schemes that run code are kept out here.
    text = _text(value)
    if not text.startswith(("https://", "http://")) or re.search(r"\s", text):
        raise _UnexpectedError("an address that begins with https:// or http://")
    return text


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = _text(value).lower()
    if text in {"true", "yes", "1"}:
        return True
    if text in {"false", "no", "0"}:
        return False
    raise _UnexpectedError("true or false")


def _day(value: object) -> date:
    text = _text(value)
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError as error:
        raise _UnexpectedError(f"a day of the calendar ({error})") from error
    raise _UnexpectedError("a date such as 2027-03-31")


def _territory(value: object) -> str:
    code = _text(value).upper()
    if code not in TERRITORIES:
        raise _UnexpectedError("an ISO 3166-1 code of two letters such as DE" + (", here GB" if code == "UK" else ""))
    return code


def _source_type(value: object) -> str:
    code = _SOURCE_TYPE.sub("", _text(value), count=1).strip("/").lower()
    for known in DIGITAL_SOURCE_TYPES:
        if code == known.lower():
            return known
    raise _UnexpectedError(f"an IPTC digital source type: {', '.join(DIGITAL_SOURCE_TYPES)}")


_Word = TypeVar("_Word", bound=StrEnum)


def _word(kind: type[_Word]) -> Callable[[object], _Word]:
    """Reads one word of a fixed vocabulary; case, and spaces or hyphens for `_`, do not matter."""

    def read(value: object) -> _Word:
        text = re.sub(r"[ -]+", "_", _text(value).lower())
        try:
            return kind(text)
        except ValueError:
            raise _UnexpectedError(f"one of {', '.join(kind)}") from None

    return read


def _grant(value: object) -> GrantRule:
    text = _text(value)
    denied = text.startswith("-")
    # From the right: a user's name may hold an equals sign, an action never does.
    who, equals, what = text.removeprefix("-").rpartition("=")
    kind, _, subject = (part.strip() for part in who.partition(":"))
    named = kind in {SubjectKind.user, SubjectKind.group}
    if not equals or kind not in set(SubjectKind) or named is not bool(subject):
        raise _UnexpectedError("[-]group:NAME=ACTIONS, user:NAME=ACTIONS, everyone=ACTIONS or public=ACTIONS")
    actions = tuple(dict.fromkeys(_word(Action)(action.strip()) for action in what.split(",")))
    return GrantRule(SubjectKind(kind), subject, actions, not denied)


_Item = TypeVar("_Item")


def _listed(read: Callable[[object], _Item]) -> Callable[[object], tuple[_Item, ...]]:
    """Reads a JSON array, or a text separated by `;`. What is given twice counts once."""

    def read_all(value: object) -> tuple[_Item, ...]:
        items = [part.strip() for part in _text(value).split(";")] if isinstance(value, str) else value
        if not isinstance(items, list):
            raise _UnexpectedError("a list")
        if len(items) > MAX_VALUES:
            raise _UnexpectedError(f"at most {MAX_VALUES:,} values, not {len(items):,}")
        stripped = (item.strip() if isinstance(item, str) else item for item in items)
        return tuple(dict.fromkeys(read(item) for item in stripped if item != ""))

    return read_all


#: Every column, and what reads it.
COLUMNS: Final[Mapping[str, Callable[[object], object]]] = {
    "path": _path,
    "id": _id,
    "title": _text,
    "description": _text,
    "keywords": _listed(_text),
    "collection": _text,
    "status": _word(Status),
    "sensitive": _flag,
    "creator": _text,
    "created": _day,
    "credit_line": _text,
    "licence": _word(Licence),
    "licence_url": _url,
    "rights_holder": _text,
    "usage_terms": _text,
    "valid_from": _day,
    "valid_until": _day,
    "territories": _listed(_territory),
    "excluded_territories": _listed(_territory),
    "channels": _listed(_word(Channel)),
    "model_release": _word(Release),
    "property_release": _word(Release),
    "digital_source_type": _source_type,
    "alt_text": _text,
    "source": _text,
    "grants": _listed(_grant),
}


# Wording of problems.


def _column(name: str) -> str:
    return name.strip().lower()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _problem(file: str, row: int, column: str, what: str) -> BadManifest:
    return BadManifest(f"{file}, row {row}, column {column}: {what}.", _REMEDY)


def _unknown(file: str, row: int, name: str) -> BadManifest:
    close = get_close_matches(_column(name), COLUMNS, n=1)
    meant = f"Did you mean {close[0]}?" if close else f"The columns are {', '.join(COLUMNS)}."
    return BadManifest(f"{file}, row {row}, column {_shown(name)}: is not known and was passed over.", meant)


def _repeated(file: str, row: int, column: str, value: str, first: int) -> BadManifest:
    return _problem(file, row, column, f"{_shown(value)} given, but row {first} has it; expected one row an asset")
