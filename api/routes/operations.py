"""For those who run the server: is it alive, is it ready, how does it fare."""

from typing import Final

from litestar import get
from prometheus_client import CONTENT_TYPE_LATEST

from api.metrics import Metrics
from search import policy
from search.errors import NotCleared, Unauthenticated
from search.types import Action, Principal


@get("/health/live", sync_to_thread=False)
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@get("/health/ready", sync_to_thread=False)
def ready() -> dict[str, str]:
    """Searches can be answered: the server opens its port only once models and index are loaded."""
    return {"status": "ready"}


@get("/metrics", media_type=CONTENT_TYPE_LATEST, sync_to_thread=False)
def metrics(principal: Principal, measures: Metrics) -> bytes:
    """Counts and times in Prometheus' text format, for administrators: give its scraper a token of that role."""
    if not principal.signed_in:
        raise Unauthenticated("Metrics are for administrators.", _REMEDY)
    if not policy.may(principal, Action.administer):
        raise NotCleared("Metrics are for administrators.", (), _REMEDY)
    return measures.text()


_REMEDY: Final = "Send a token made by `loupe token NAME --role administrator`."
