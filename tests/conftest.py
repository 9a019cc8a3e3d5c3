"""What tests share: small assets, libraries and the moment they live in."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from search.catalog import Catalog, Intake
from search.types import (
    Action,
    Asset,
    Grant,
    Licence,
    MediaType,
    ResourceKind,
    Rights,
    Segment,
    SegmentKind,
    Status,
    SubjectKind,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

MakeIntake = Callable[..., Intake]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.at(tmp_path / "catalog.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def make_intake() -> MakeIntake:
    """Intakes of an approved, owned picture in the collection "open", with whatever is said otherwise."""

    def make(name: str, *, segments: tuple[Segment, ...] = (), collection: str = "open", **changes: object) -> Intake:
        asset = Asset(
            ordinal=0,
            id=name,
            path=f"/library/{name}.jpg",
            content_hash=f"hash-{name}",
            media_type=MediaType.image,
            mime="image/jpeg",
            collection=collection,
            status=Status.approved,
            added=NOW,
            rights=Rights(licence=Licence.owned),
            **changes,  # type: ignore[arg-type]
        )
        picture = Segment(0, 0, SegmentKind.image, asset.content_hash)
        return Intake(asset, mtime_ns=1, facts_digest="d", embedded={}, segments=segments or (picture,))

    return make


def everyone_may(collection: str, *actions: Action) -> tuple[Grant, ...]:
    return tuple(Grant(ResourceKind.collection, collection, SubjectKind.everyone, "", action) for action in actions)
