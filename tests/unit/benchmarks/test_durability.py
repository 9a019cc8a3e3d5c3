"""The bench of durability ends, and its library is sound."""

from pathlib import Path

import pytest

from benchmarks.durability import CHANGED, measured


@pytest.mark.long
def test_every_figure_is_there(tmp_path: Path) -> None:
    report = measured(tmp_path, 2 * max(CHANGED))
    assert len(report.seconds) == 5 + 2 * len(CHANGED)
    assert min(report.seconds.values()) > 0
    assert min(report.bytes_an_asset.values()) > 0
