"""What files say of themselves: XMP (embedded or beside the file) and JSON sidecars, under the manifest's field names.

XMP is ISO 16684-1; which property holds what is the IPTC Photo Metadata Standard 2024.1 and the PLUS licence data
format 2.0. Cameras and editors write what they like, so a property that is missing or odd is passed over; only a file
that is no XMP at all is an error.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from search.errors import BrokenMedia, MediaTooLarge

MAX_BYTES: Final = 5_000_000

_RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC: Final = "{http://purl.org/dc/elements/1.1/}"
_PHOTOSHOP: Final = "{http://ns.adobe.com/photoshop/1.0/}"
_RIGHTS: Final = "{http://ns.adobe.com/xap/1.0/rights/}"
_IPTC: Final = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_CORE: Final = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}"
_PLUS: Final = "{http://ns.useplus.org/ldf/xmp/1.0/}"

#: Manifest field to the properties that may hold it, the first that is there counts.
_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "title": (f"{_DC}title", f"{_PHOTOSHOP}Headline"),
    "description": (f"{_DC}description",),
    "alt_text": (f"{_CORE}AltTextAccessibility",),
    "creator": (f"{_DC}creator",),
    "created": (f"{_PHOTOSHOP}DateCreated",),
    "credit_line": (f"{_PHOTOSHOP}Credit",),
    "rights_holder": (f"{_RIGHTS}Owner", f"{_DC}rights"),
    "usage_terms": (f"{_RIGHTS}UsageTerms",),
    "licence_url": (f"{_RIGHTS}WebStatement",),
    "source": (f"{_PHOTOSHOP}Source",),
    "digital_source_type": (f"{_IPTC}DigitalSourceType",),
    "model_release": (f"{_PLUS}ModelReleaseStatus",),
    "property_release": (f"{_PLUS}PropertyReleaseStatus",),
}

#: The PLUS vocabulary of release states: none, not applicable, unlimited, limited or incomplete.
_RELEASES: Final = {
    "MR-NON": "missing",
    "MR-NAP": "not_needed",
    "MR-UMR": "obtained",
    "MR-LMR": "missing",
    "PR-NON": "missing",
    "PR-NAP": "not_needed",
    "PR-UPR": "obtained",
    "PR-LPR": "missing",
}

Fields = dict[str, str | list[str]]


def read_json_sidecar(path: Path) -> dict[str, Any]:
    """The object in a `NAME.json`, its keys being manifest columns. Raises MediaTooLarge, BrokenMedia."""
    try:
        read = msgspec.json.decode(_bounded(path))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BrokenMedia(f"The sidecar {path.name} is not JSON: {error}.", "Mend it, and index again.") from error
    if not isinstance(read, dict):
        raise BrokenMedia(f"The sidecar {path.name} holds no JSON object.", 'Write it as {"title": "…", …}.')
    return read


def read_xmp_sidecar(path: Path) -> Fields:
    """What a `NAME.xmp` says. Raises MediaTooLarge, BrokenMedia."""
    try:
        return _fields(_bounded(path))
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise BrokenMedia(f"The sidecar {path.name} is not XMP: {error}.", "Mend it, and index again.") from error


def embedded_metadata(said: Mapping[str, str | list[str]]) -> Fields:
    """What a file says of itself, its XMP packet (under `xmp`) outranking the rest; a damaged packet says nothing."""
    plain = {name: value for name, value in said.items() if name != "xmp"}
    packet = str(said.get("xmp", ""))
    if not packet or len(packet) > MAX_BYTES:
        return plain
    try:
        return plain | _fields(packet.encode())
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return plain


def _bounded(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise MediaTooLarge(f"The sidecar {path.name} has more than {MAX_BYTES:,} bytes.", "Shorten it.")
    return path.read_bytes()


def _fields(data: bytes) -> Fields:
    """The properties of an XMP packet that Loupe knows."""
    root = fromstring(re.sub(rb"\x00+\s*$", b"", data), forbid_dtd=True)
    said: dict[str, list[str]] = {}
    for description in root.iter(f"{_RDF}Description"):
        for name, value in description.attrib.items():
            said.setdefault(name, [value])
        for child in description:
            said.setdefault(child.tag, list(_values(child)))
    found: Fields = {}
    for field, properties in _TEXTS.items():
        values = next((said[name] for name in properties if said.get(name)), [])
        if values:
            found[field] = "; ".join(values) if field == "creator" else values[0]
    if words := said.get(f"{_DC}subject"):
        found["keywords"] = words
    if "created" in found:
        found["created"] = str(found["created"])[:10]
    for field in ("model_release", "property_release"):
        if code := str(found.pop(field, "")).rsplit("/", 1)[-1]:
            found |= {field: _RELEASES[code]} if code in _RELEASES else {}
    return found


def _values(element: Element) -> Iterator[str]:
    """The text of a property, or of the items of its bag, sequence or alternatives, the default language first."""
    items = list(element.iter(f"{_RDF}li"))
    if not items:
        items = [element]
    language = "{http://www.w3.org/XML/1998/namespace}lang"
    items.sort(key=lambda item: item.get(language, "x-default") != "x-default")
    for item in items:
        if text := " ".join((item.text or item.get(f"{_RDF}resource") or "").split()):
            yield text
