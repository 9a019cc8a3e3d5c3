"""Settings: a number that nothing can be done with is refused where it is said, and not met while files are decoded."""

import pytest

from api import settings
from search.errors import BadSettings


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *(("decode_seconds", told) for told in ("0", "-1", "nan", "inf", "1e300")),
        *(
            (name, told)
            for name in ("max_pixels", "max_bytes", "decode_memory", "max_upload")
            for told in ("0", "1" * 30)
        ),
    ],
)
def test_what_no_machine_can_do_is_refused_by_name(name: str, told: str) -> None:
    with pytest.raises(BadSettings, match=f"LOUPE_{name.upper()}"):
        settings.load(environment={f"LOUPE_{name.upper()}": told})


def test_the_most_that_may_be_said_is_taken() -> None:
    taken = settings.load(environment={"LOUPE_DECODE_SECONDS": "86400", "LOUPE_MAX_BYTES": str(1 << 60)})
    assert (taken.decode_seconds, taken.max_bytes) == (86_400, 1 << 60)
