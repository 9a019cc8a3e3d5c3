"""For those who run the server: is it alive, is it ready."""

from litestar import get


@get("/health/live", sync_to_thread=False)
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@get("/health/ready", sync_to_thread=False)
def ready() -> dict[str, str]:
    """Searches can be answered: the server opens its port only once models and index are loaded."""
    return {"status": "ready"}
