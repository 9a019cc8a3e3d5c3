"""The libraries that are measured on: whole, alike at every size, and looked at by people who find much and little."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from api.auth import read_people
from benchmarks import at_scale
from search import policy
from search.columns import Columns
from search.engine import Space
from search.library import Library


def test_a_library_is_whole_and_a_smaller_one_its_beginning(tmp_path: Path) -> None:
    vectors = {
        Space.visual: at_scale.Embedded("eye", lambda start, stop: np.eye(stop, 4, dtype=np.float32)[start:stop]),
        Space.text: at_scale.Embedded("ear", lambda start, stop: np.ones((stop - start, 2), np.float32)),
    }
    at_scale.build(tmp_path / "large", 300, vectors=vectors)
    at_scale.build(tmp_path / "small", 40)
    large, small = (Library(tmp_path / name) for name in ("large", "small"))
    try:
        assets = list(large.catalog.every_asset())
        names = [asset.id for asset in assets]
        assert names == [f"asset-{number:07}" for number in range(300)]
        beginning = {asset.id: (asset.title, asset.keywords, asset.rights) for asset in small.catalog.every_asset()}
        assert beginning == {asset.id: (asset.title, asset.keywords, asset.rights) for asset in assets[:40]}
        assert large.lacking({Space.visual: "eye", Space.text: "ear"}) == set()
        assert len(small.lacking({Space.visual: "eye", Space.text: "ear"})) == 40
        assert read_people(large.directory) == at_scale.PEOPLE
        columns = Columns().updated(facts=large.catalog.facts(), collection_grants=large.catalog.collection_grants())
        gate = policy.Settings(sensitive_groups=frozenset({"cleared-sensitive"}))
        found = {
            person.user: len(policy.scope(person.principal, None, datetime.now(UTC), columns, gate))
            for person in at_scale.PEOPLE
        }
        assert found["ada"] > found["ben"] > found["emil"] > found["nils"]
    finally:
        large.close()
        small.close()
