"""What is said of one file, brought together from all that speaks of it.

Later sources outrank earlier ones, value by value: the file's own metadata, NAME.xmp, NAME.json, the manifest's
row. What nobody says is filled in from the defaults, which are settings.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from indexer.manifest import GrantRule, ManifestRow, parse_fields, unknown_columns
from indexer.metadata import read_json_sidecar, read_xmp_sidecar
from indexer.sources import Source, stamp
from search.errors import BadManifest
from search.types import Grant, Licence, Release, ResourceKind, Rights, Status


class Defaults(msgspec.Struct, frozen=True):
    """What holds where nothing is said. A file that a manifest leaves out is a draft, whatever `status` says."""

    collection: str = ""
    status: Status = Status.approved
    licence: Licence = Licence.unknown
    release: Release = Release.not_needed
    grants: tuple[GrantRule, ...] = ()


def digest(source: Source, row: ManifestRow | None, listed: bool, defaults: Defaults) -> str:
    """Changes whenever the sidecars, the manifest's row or the defaults do; costs a stat a sidecar."""
    sidecars = [(str(path), *stamp(path)) for path in source.sidecars()]
    said = msgspec.structs.replace(row, line=0) if row else None
    return hashlib.sha256(msgspec.json.encode((sidecars, said, listed, defaults))).hexdigest()


def gather(source: Source, embedded: Mapping[str, object], row: ManifestRow | None) -> ManifestRow:
    """The values that hold for a file. Raises BadManifest when a sidecar holds a bad value."""
    said = [_lenient(embedded)]
    for path in source.sidecars():
        if path.suffix == ".xmp":
            said.append(_lenient(read_xmp_sidecar(path)))
        elif path.suffix == ".json":
            raw = read_json_sidecar(path)
            if unknown := unknown_columns(raw):
                raise BadManifest(f"{path.name}: there is no field {unknown[0]!r}.", "Use the columns of a manifest.")
            said.append(parse_fields({**raw, "path": source.path.name}, file=path.name, row=1))
    return _merged([*said, *([row] if row else [])])


def _lenient(raw: Mapping[str, object]) -> ManifestRow:
    """Metadata that cameras and editors wrote: a value that cannot be read is passed over, the rest holds."""
    values = [_alone(name, value) for name, value in raw.items()]
    return _merged([value for value in values if value])


def _alone(name: str, value: object) -> ManifestRow | None:
    try:
        return parse_fields({name: value, "path": "-"}, file="", row=1)
    except BadManifest:
        return None


def _merged(rows: Sequence[ManifestRow]) -> ManifestRow:
    values = {
        name: value
        for row in rows
        for name, value in msgspec.structs.asdict(row).items()
        if value is not None and name not in ("line", "path")
    }
    return ManifestRow(line=0, path="", **values)


def rights(said: ManifestRow, defaults: Defaults) -> Rights:
    """The terms as they are said; what nobody says is filled in from the defaults."""
    return Rights(
        licence=said.licence or defaults.licence,
        licence_url=said.licence_url or "",
        holder=said.rights_holder or "",
        credit_line=said.credit_line or "",
        usage_terms=said.usage_terms or "",
        source=said.source or "",
        valid_from=said.valid_from,
        valid_until=said.valid_until,
        territories=said.territories or (),
        excluded_territories=said.excluded_territories or (),
        channels=said.channels or (),
        model_release=said.model_release or defaults.release,
        property_release=said.property_release or defaults.release,
    )


def grants(rules: Sequence[GrantRule], kind: ResourceKind, resource: str) -> tuple[Grant, ...]:
    """Grant rules as written, spelt out for one resource."""
    return tuple(
        Grant(kind, resource, rule.subject_kind, rule.subject, action, rule.allow)
        for rule in rules
        for action in rule.actions
    )


def title_of(path: Path) -> str:
    """A title from a file name, for what has none: `city-skyline_02.jpg` reads "city skyline 02"."""
    return " ".join(path.stem.replace("-", " ").replace("_", " ").split())
