"""Manifests: what is said is read as it was meant, and what is wrong is named by file, row and column."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.manifest import (
    COLUMNS,
    DIGITAL_SOURCE_TYPES,
    MAX_LINE,
    MAX_TEXT,
    MAX_VALUES,
    TERRITORIES,
    GrantRule,
    Manifest,
    ManifestRow,
    digital_source_code,
    parse_fields,
    parse_grant,
    read_manifest,
    unknown_columns,
)
from search.errors import BadManifest
from search.types import Action, Channel, Licence, Release, Status, SubjectKind

Reader = Callable[..., Manifest]


@pytest.fixture
def read_csv(tmp_path: Path) -> Reader:
    def read(text: str, encoding: str = "utf-8") -> Manifest:
        path = tmp_path / "assets.csv"
        path.write_bytes(text.encode(encoding))
        return read_manifest(path)

    return read


@pytest.fixture
def read_json(tmp_path: Path) -> Reader:
    def read(*rows: object) -> Manifest:
        path = tmp_path / "assets.jsonl"
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), "utf-8")
        return read_manifest(path)

    return read


def only_problem(manifest: Manifest) -> str:
    (problem,) = manifest.problems
    return str(problem)


FULL = ManifestRow(
    line=2,
    path="a/b.jpg",
    id="b-1",
    title="Dawn, again",
    description="First line\nsecond line",
    keywords=("sea", "low sun"),
    collection="Summer",
    status=Status.in_review,
    sensitive=True,
    creator="Ada Öst",
    created=date(2024, 2, 29),
    credit_line="Ada Öst, CC BY 4.0",
    licence=Licence.rights_managed,
    licence_url="https://example.org/terms",
    rights_holder="Ada Öst",
    usage_terms="Once.",
    valid_from=date(2027, 3, 1),
    valid_until=date(2027, 3, 1),
    territories=("DE", "AT"),
    excluded_territories=("CH",),
    channels=(Channel.web, Channel.out_of_home),
    model_release=Release.obtained,
    property_release=Release.not_needed,
    digital_source_type="digitalCapture",
    alt_text="A low sun over the sea",
    source="Field trip",
    grants=(
        GrantRule(SubjectKind.group, "marketing", (Action.find, Action.use), True),
        GrantRule(SubjectKind.group, "contractors", (Action.find,), False),
    ),
)

FULL_CSV = """\
path,id,title,description,keywords,collection,status,sensitive,creator,created,credit_line,licence,licence_url,\
rights_holder,usage_terms,valid_from,valid_until,territories,excluded_territories,channels,model_release,\
property_release,digital_source_type,alt_text,source,grants
a/b.jpg,b-1,"Dawn, again","First line
second line",sea; low sun;sea;,Summer,in_review,yes,Ada Öst,2024-02-29,"Ada Öst, CC BY 4.0",Rights-managed,\
https://example.org/terms,Ada Öst,Once.,2027-03-01,2027-03-01,de;AT,ch,web;out of home,obtained,not needed,\
http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture,A low sun over the sea,Field trip,\
"group:marketing=find,use;-group:contractors=find"
"""

FULL_JSON = {
    "path": "a/b.jpg",
    "id": "b-1",
    "title": "Dawn, again",
    "description": "First line\nsecond line",
    "keywords": ["sea", "low sun"],
    "collection": "Summer",
    "status": "in_review",
    "sensitive": True,
    "creator": "Ada Öst",
    "created": "2024-02-29",
    "credit_line": "Ada Öst, CC BY 4.0",
    "licence": "rights_managed",
    "licence_url": "https://example.org/terms",
    "rights_holder": "Ada Öst",
    "usage_terms": "Once.",
    "valid_from": "2027-03-01",
    "valid_until": "2027-03-01",
    "territories": ["DE", "AT"],
    "excluded_territories": ["CH"],
    "channels": ["web", "out_of_home"],
    "model_release": "obtained",
    "property_release": "not_needed",
    "digital_source_type": "digitalCapture",
    "alt_text": "A low sun over the sea",
    "source": "Field trip",
    "grants": ["group:marketing=find,use", "-group:contractors=find"],
}


def test_both_formats_say_the_same(read_csv: Reader, read_json: Reader) -> None:
    assert read_csv(FULL_CSV) == Manifest((FULL,), ())
    assert read_json(FULL_JSON) == Manifest((msgspec.structs.replace(FULL, line=1),), ())


def test_every_column_is_a_field_of_the_row() -> None:
    assert set(COLUMNS) | {"line"} == set(ManifestRow.__struct_fields__)
    assert set(FULL_JSON) == set(COLUMNS)


def test_byte_order_mark_and_windows_line_ends(read_csv: Reader) -> None:
    assert read_csv("path,title\r\na.jpg,Tee\r\n", "utf-8-sig").rows == (
        ManifestRow(line=2, path="a.jpg", title="Tee"),
    )


def test_not_said_differs_from_said_to_be_none(read_csv: Reader, read_json: Reader) -> None:
    (row,) = read_csv("path,title,keywords,valid_until,grants\na.jpg, ,,,\n").rows
    assert row == ManifestRow(line=2, path="a.jpg", grants=())
    assert read_csv("path,title\na.jpg,\n").rows[0].grants is None
    silent, none, null = read_json(
        {"path": "a"}, {"path": "b", "grants": [], "territories": []}, {"path": "c", "grants": None, "title": None}
    ).rows
    assert silent.grants is None
    assert (none.grants, none.territories) == ((), ())
    assert null == ManifestRow(line=3, path="c")


def test_header_is_read_whatever_its_case_and_order(read_csv: Reader) -> None:
    assert read_csv(" Title , PATH\nTea,a.jpg\n").rows == (ManifestRow(line=2, path="a.jpg", title="Tea"),)


def test_formulas_stay_text(read_csv: Reader) -> None:
    (row,) = read_csv('path,title,description\na.jpg,=1+1,"=HYPERLINK(""x"")"\n').rows
    assert (row.title, row.description) == ("=1+1", '=HYPERLINK("x")')


def test_rows_are_counted_as_a_spreadsheet_does(read_csv: Reader) -> None:
    manifest = read_csv('path,title\na.jpg,"two\nlines"\n\nb.jpg,B\nc.jpg,C,extra\n')
    assert [row.line for row in manifest.rows] == [2, 4]
    assert "assets.csv, row 5" in only_problem(manifest)
    assert "3 cells" in only_problem(manifest)


def test_blank_lines_and_numbers_in_json(read_json: Reader) -> None:
    (row,) = read_json("", {"path": "a.jpg", "id": 4711, "title": 1984}).rows
    assert (row.line, row.id, row.title) == (2, "4711", "1984")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("status", "aproved", "one of draft, in_review, approved, rejected, archived"),
        ("licence", "free", "one of owned, royalty_free"),
        ("channels", "web;tv", "one of web, social"),
        ("model_release", "maybe", "one of obtained"),
        ("sensitive", "perhaps", "true or false"),
        ("created", "31.03.2027", "a date such as 2027-03-31"),
        ("created", "20270331", "a date such as 2027-03-31"),
        ("created", "2027-02-30", "a day of the calendar"),
        ("valid_until", "2027-3-1", "a date such as 2027-03-31"),
        ("territories", "DE;UK", "here GB"),
        ("territories", "DEU", "ISO 3166-1"),
        ("territories", "XX", "ISO 3166-1"),
        ("excluded_territories", "EU", "ISO 3166-1"),
        ("digital_source_type", "ai", "trainedAlgorithmicMedia"),
        ("licence_url", "javascript:alert(1)", "https://"),
        ("licence_url", "https://example.org/ x", "https://"),
        ("id", "../up", "letters, digits"),
        ("id", "a" * 129, "up to 128"),
        ("title", "a\x07b", "control characters"),
        ("title", "x" * (MAX_TEXT + 1), "at most 20,000 characters"),
        ("keywords", ";".join(map(str, range(MAX_VALUES + 1))), "at most 1,000 values"),
        ("grants", "marketing=find", "group:NAME=ACTIONS"),
        ("grants", "group:marketing=look", "one of find, use, review"),
        ("path", "/etc/passwd", "relative to the manifest's folder"),
        ("path", "C:\\photos\\a.jpg", "relative to the manifest's folder"),
        ("path", "photos\\a.jpg", "with / between folders"),
        ("path", "../a.jpg", "inside the manifest's folder"),
        ("path", "a/../../b.jpg", "inside the manifest's folder"),
        ("path", ".", "inside the manifest's folder"),
    ],
)
def test_a_bad_value_is_named_and_its_row_left_out(read_csv: Reader, column: str, value: str, expected: str) -> None:
    cells = {"path": "bad.jpg", column: value}
    quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells.values())
    pad = "," * (len(cells) - 1)
    manifest = read_csv(f"{','.join(cells)}\ngood.jpg{pad}\n{quoted}\nbetter.jpg{pad}\n")
    assert [row.path for row in manifest.rows] == ["good.jpg", "better.jpg"]
    message = only_problem(manifest)
    assert f"assets.csv, row 3, column {column}: " in message
    assert expected in message
    assert len(message) < 800


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("title", {"en": "Tea"}, "a text"),
        ("title", True, "a text"),
        ("title", 1.5, "a text"),
        ("keywords", {"a": 1}, "a list"),
        ("keywords", [["a"]], "a text"),
        ("sensitive", [], "a text"),
        ("created", 2027, "a date"),
        ("path", "a\0b", "a text without control characters"),
    ],
)
def test_json_values_of_the_wrong_kind(read_json: Reader, column: str, value: object, expected: str) -> None:
    manifest = read_json({"path": "good"}, {"path": "bad", column: value})
    assert [row.path for row in manifest.rows] == ["good"]
    assert f"row 2, column {column}: " in only_problem(manifest)
    assert f"expected {expected}" in only_problem(manifest)


def test_all_bad_values_of_a_row_are_named(read_csv: Reader) -> None:
    manifest = read_csv("path,status,licence\na.jpg,x,y\n")
    assert manifest.rows == ()
    assert ["status" in str(manifest.problems[0]), "licence" in str(manifest.problems[1])] == [True, True]


def test_paths_are_made_plain(read_csv: Reader) -> None:
    assert [row.path for row in read_csv("path\n./a/b.jpg\nc/../d.jpg\n..e.jpg\n").rows] == [
        "a/b.jpg",
        "d.jpg",
        "..e.jpg",
    ]


def test_a_missing_path(read_json: Reader, read_csv: Reader) -> None:
    assert "row 2, column path: is empty" in only_problem(read_csv("path,title\n,Tea\n"))
    assert "row 1, column path: is empty" in only_problem(read_json({"title": "Tea"}))


def test_repeated_paths_and_ids(read_csv: Reader) -> None:
    manifest = read_csv("path,id\na.jpg,1\n./a.jpg,2\nb.jpg,1\nc.jpg,2\n")
    assert [(row.path, row.id) for row in manifest.rows] == [("a.jpg", "1"), ("c.jpg", "2")]
    same_path, same_id = map(str, manifest.problems)
    assert "row 3, column path: 'a.jpg' given, but row 2 has it" in same_path
    assert "row 4, column id: '1' given, but row 2 has it" in same_id


def test_a_term_must_not_end_before_it_begins(read_csv: Reader) -> None:
    message = only_problem(read_csv("path,valid_from,valid_until\na,2027-03-02,2027-03-01\n"))
    assert "row 2, column valid_from: 2027-03-02 is after valid_until 2027-03-01" in message


def test_an_unknown_column_is_one_problem_and_its_rows_go_in(read_csv: Reader, read_json: Reader) -> None:
    manifest = read_csv("path,license,title\na,owned,A\nb,owned,B\n")
    assert [(row.title, row.licence) for row in manifest.rows] == [("A", None), ("B", None)]
    assert "column 'license': is not known" in only_problem(manifest)
    assert "Did you mean licence?" in only_problem(manifest)
    manifest = read_json({"path": "a"}, {"path": "b", "x9": 1}, {"path": "c", "x9": 2})
    assert len(manifest.rows) == 3
    assert "row 2, column 'x9'" in only_problem(manifest)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.xlsx", b"PK", "Manifests are .csv or .jsonl files"),
        ("a.csv", b"", "no column is called path"),
        ("a.csv", b"file;title\nx;y\n", "no column is called path"),
        ("a.csv", b"path,title,Title\n", "named more than once: title"),
        ("a.csv", b'"path\n', "is not CSV"),
        ("a.csv", b"path\nb\xf6se.jpg\n", "is not UTF-8 text"),
        ("a.csv", "path\n".encode("utf-16"), "is not UTF-8 text"),
        ("a.csv", b"path\na\0b\n", "is not text"),
        ("a.csv", b"path\n" + b"x" * (MAX_LINE + 1), "a line is longer than 1,000,000 characters"),
        ("a.jsonl", b'[\n{"path": "a"}\n]\n', "expected one JSON object on the line"),
        ("a.jsonl", b"path,title\n", "expected one JSON object on the line"),
        ("a.jsonl", b"[" * 500_000, "expected one JSON object on the line"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadManifest, match=expected) as raised:
        read_manifest(path)
    assert str(path) in str(raised.value)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="cannot be read: No such file"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadManifest, match="cannot be read: Is a directory"):
        read_manifest(tmp_path / "folder.csv")


def test_damage_in_one_row_spares_the_others(read_csv: Reader, read_json: Reader) -> None:
    manifest = read_csv('path,title\na.jpg,A\nb.jpg,"B"x\nc.jpg,C\n')
    assert [row.path for row in manifest.rows] == ["a.jpg", "c.jpg"]
    assert "row 3: is not CSV" in only_problem(manifest)
    manifest = read_json({"path": "a"}, '{"path": ', '"text"', {"path": "b"})
    assert [row.path for row in manifest.rows] == ["a", "b"]
    assert ["row 2" in str(manifest.problems[0]), "row 3" in str(manifest.problems[1])] == [True, True]


def test_a_quote_left_open_does_not_hide_in_silence(read_csv: Reader) -> None:
    manifest = read_csv('path,title\na.jpg,A\nb.jpg,"B\nc.jpg,C\n')
    assert [row.path for row in manifest.rows] == ["a.jpg"]
    assert "row 3: is not CSV" in only_problem(manifest)


def test_sidecar_fields() -> None:
    row = parse_fields({"path": "a.jpg", "keywords": "x;y", "colour": "red"}, file="a.json", row=1)
    assert row == ManifestRow(line=1, path="a.jpg", keywords=("x", "y"))
    assert unknown_columns(["path", "Keywords", "colour"]) == ("colour",)
    with pytest.raises(BadManifest, match=r"a\.json, row 1, column status.*column created"):
        parse_fields({"path": "a.jpg", "status": "?", "created": "?"}, file="a.json", row=1)
    with pytest.raises(BadManifest, match="column title: is given twice"):
        parse_fields({"path": "a.jpg", "title": "A", "Title": "B"}, file="a.json", row=1)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("group:marketing=find,use", GrantRule(SubjectKind.group, "marketing", (Action.find, Action.use), True)),
        ("-group:contractors=find", GrantRule(SubjectKind.group, "contractors", (Action.find,), False)),
        ("user:mara=find", GrantRule(SubjectKind.user, "mara", (Action.find,), True)),
        ("user:a=b:c= find , find", GrantRule(SubjectKind.user, "a=b:c", (Action.find,), True)),
        ("everyone=find", GrantRule(SubjectKind.everyone, "", (Action.find,), True)),
        ("-public=use", GrantRule(SubjectKind.public, "", (Action.use,), False)),
    ],
)
def test_grants(text: str, rule: GrantRule) -> None:
    assert parse_grant(text) == rule


@pytest.mark.parametrize(
    "text", ["", "find", "group=find", "group:=find", "everyone:x=find", "team:x=find", "user:mara=", "user:mara=fly"]
)
def test_bad_grants(text: str) -> None:
    with pytest.raises(BadManifest, match="expected"):
        parse_grant(text)


def test_digital_source_types() -> None:
    for code in DIGITAL_SOURCE_TYPES:
        for text in (
            code,
            code.lower(),
            f"https://cv.iptc.org/newscodes/digitalsourcetype/{code}",
            f"digsrctype:{code}",
        ):
            assert digital_source_code(text) == code
    with pytest.raises(BadManifest, match="digitalCapture, computationalCapture"):
        digital_source_code("http://example.org/newscodes/digitalsourcetype/digitalCapture")


def test_territories_are_the_assigned_ones() -> None:
    assert len(TERRITORIES) == 249
    assert {"DE", "GB", "SS", "BQ", "AX"} <= TERRITORIES
    assert TERRITORIES.isdisjoint({"UK", "EU", "XK", "AN", "SU", "ZZ"})


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["find", "DE", "-"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*COLUMNS, "x"]), values))
def test_any_json_gives_a_row_or_a_problem(raw: dict[str, object]) -> None:
    try:
        row = parse_fields(raw, file="any.json", row=7)
    except BadManifest as problem:
        assert "any.json, row 7, column " in problem.message
    else:
        assert row.path and not row.path.startswith(("/", "../"))


@given(st.binary(max_size=200), st.sampled_from(["csv", "jsonl"]))
def test_any_bytes_give_a_manifest_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_bytes(b"path,title\n" + data if kind == "csv" else data)
    try:
        manifest = read_manifest(path)
    except BadManifest as problem:
        assert str(path) in problem.message
    else:
        assert all(str(path) in problem.message for problem in manifest.problems)
