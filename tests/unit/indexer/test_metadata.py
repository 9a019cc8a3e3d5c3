"""XMP and JSON sidecars: known properties in every form they come in, and no harm from hostile ones."""

from pathlib import Path

import pytest

from indexer.metadata import embedded_metadata, read_json_sidecar, read_xmp_sidecar
from search.errors import BrokenMedia, MediaTooLarge

NAMESPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"'
)
FULL = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {NAMESPACES}>
<rdf:Description rdf:about="" photoshop:Credit="Ann / Agency" photoshop:DateCreated="2026-05-01T10:00:00Z">
<dc:title><rdf:Alt><rdf:li xml:lang="de">Kaffee</rdf:li>
<rdf:li xml:lang="x-default">Coffee</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">A cup
 of coffee</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>coffee</rdf:li><rdf:li>cup</rdf:li></rdf:Bag></dc:subject>
<dc:creator><rdf:Seq><rdf:li>Ann</rdf:li><rdf:li>Ben</rdf:li></rdf:Seq></dc:creator>
<xmpRights:UsageTerms><rdf:Alt><rdf:li xml:lang="x-default">Editorial only</rdf:li></rdf:Alt></xmpRights:UsageTerms>
<xmpRights:WebStatement>https://example.org/terms</xmpRights:WebStatement>
<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>
<plus:ModelReleaseStatus rdf:resource="http://ns.useplus.org/ldf/vocab/MR-UMR"/>
<plus:PropertyReleaseStatus>http://ns.useplus.org/ldf/vocab/PR-NON</plus:PropertyReleaseStatus>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def sidecar(tmp_path: Path, data: str | bytes, name: str = "a.xmp") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_every_known_property_is_read(tmp_path: Path) -> None:
    assert read_xmp_sidecar(sidecar(tmp_path, FULL)) == {
        "title": "Coffee",
        "description": "A cup of coffee",
        "keywords": ["coffee", "cup"],
        "creator": "Ann; Ben",
        "created": "2026-05-01",
        "credit_line": "Ann / Agency",
        "usage_terms": "Editorial only",
        "licence_url": "https://example.org/terms",
        "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        "model_release": "obtained",
        "property_release": "missing",
    }


def test_embedded_xmp_outranks_exif_and_damage_says_nothing() -> None:
    assert embedded_metadata({"title": "Old", "creator": "Ann", "xmp": FULL})["title"] == "Coffee"
    assert embedded_metadata({"title": "Old", "xmp": FULL[:200]}) == {"title": "Old"}
    assert embedded_metadata({"title": "Old"}) == {"title": "Old"}


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize("data", ["", "not xml", "<x>", BOMB, OUTSIDE, b"\xff\xfe\x00", '<x a="1" a="2"/>'])
def test_what_is_no_xmp_is_named(tmp_path: Path, data: str | bytes) -> None:
    with pytest.raises(BrokenMedia, match=r"a\.xmp"):
        read_xmp_sidecar(sidecar(tmp_path, data))


def test_xmp_without_anything_known_says_nothing(tmp_path: Path) -> None:
    assert read_xmp_sidecar(sidecar(tmp_path, "<x/>")) == {}


@pytest.mark.parametrize("data", ["", "{", "[1]", "null", '"text"', b"\xff", "[" * 100_000])
def test_what_is_no_json_object_is_named(tmp_path: Path, data: str | bytes) -> None:
    with pytest.raises(BrokenMedia, match=r"a\.json"):
        read_json_sidecar(sidecar(tmp_path, data, "a.json"))


def test_json_is_read(tmp_path: Path) -> None:
    assert read_json_sidecar(sidecar(tmp_path, '{"title": "Tee", "keywords": ["a"]}', "a.json")) == {
        "title": "Tee",
        "keywords": ["a"],
    }


@pytest.mark.parametrize(("name", "read"), [("a.json", read_json_sidecar), ("a.xmp", read_xmp_sidecar)])
def test_a_huge_sidecar_is_not_read(tmp_path: Path, name: str, read: object) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(10_000_000)
    with pytest.raises(MediaTooLarge, match=name):
        read(path)  # type: ignore[operator]
