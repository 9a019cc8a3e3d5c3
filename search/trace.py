"""How one answer came about: the seconds of each stage and the plan of each vector search, for those who run Loupe."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

from search.engine import Space
from search.types import Plan

#: What a search does, in this order: texts and pictures are made vectors, waiting for the model included; it waits for
#: its turn; the catalog is looked at for changes and the gate asked; the legs; evidence is weighed to one order; a page
#: is read back and judged again; facets are counted.
Stage = Literal["encode", "wait", "scope", "visual", "passage", "keyword", "fusion", "read-back", "facets"]


class Trace:
    """Filled in as a search goes on. `seconds` sums a stage that is entered more than once."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}
        self.plans: list[tuple[Space, Plan]] = []

    def add(self, seconds: Mapping[Stage, float], plans: Iterable[tuple[Space, Plan]]) -> None:
        """Take over what was traced elsewhere."""
        for stage, taken in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + taken
        self.plans += plans

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        begun = perf_counter()
        try:
            yield
        finally:
            self.add({stage: perf_counter() - begun}, ())
