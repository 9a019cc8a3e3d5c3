"""Puts the parts together: settings in, a library with models, an engine and a searcher out. Slow to import (torch)."""

import asyncio
import gc
import getpass
import logging
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from types import FrameType
from typing import Final

import msgspec
import uvicorn
from litestar import Litestar
from litestar.types import ASGIApp
from PIL import Image

from api import answering, processes
from api.app import create_app
from api.auth import Person, Tokens, check_sign_in, read_people
from api.settings import Settings, languages, models_directory
from indexer import approved, facts, previews
from indexer.manifest import parse_grant
from indexer.media import Decoder, Limits
from indexer.pipeline import Indexer, Progress, Summary
from indexer.reembedding import Reembedded, Reembedder
from indexer.watching import Watcher
from search import policy
from search.embedding import Models
from search.engine import Space
from search.engines.embedded import EmbeddedEngine
from search.errors import BadQuery, BadSettings, LibraryBusy, LoupeError
from search.library import Library
from search.models import adapting, loupe_mini, runtimes
from search.models.adapting import Trained
from search.models.clip import lasting
from search.models.loading import load_models
from search.searcher import Searcher
from search.serving import serving
from search.types import ResourceKind

_log = logging.getLogger(__name__)

#: How often a server looks whether its library moved to another model.
_LOOK_SECONDS: Final = 2.0

#: How often a server looks for what was published and changed, in seconds, and after a failure.
_REFRESH_SECONDS: Final = 0.1
_REFRESH_AGAIN: Final = 5.0

#: How often it is looked, in seconds, whether people have left a server that is told to stop.
_LEAVING_LOOK: Final = 0.05

#: Names under which a browser reaches a loopback server. Any other is another site's name made to point here.
_LOCAL_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")


class Opened(msgspec.Struct, frozen=True):
    """A library ready to be read."""

    library: Library
    models: Models
    engine: EmbeddedEngine
    searcher: Searcher


def model_ids(models: Models) -> dict[Space, str]:
    return {Space.visual: str(models.visual.model_id), Space.text: str(models.text.model_id)}


def model_name(settings: Settings, library: Library) -> str:
    """The model that a library is searched with."""
    return settings.model or library.model() or loupe_mini.NAME


def models_of(settings: Settings, library: Library) -> Models:
    """Load them. Raises ModelUnavailable."""
    return load_models(model_name(settings, library), models_directory(settings), settings.runtime)


@contextmanager
def opened(settings: Settings, *, create: bool = False) -> Iterator[Opened]:
    """Open the library of the settings, its index brought up to date if nobody else is writing."""
    library = Library(Path(settings.data_dir), create=create, languages=languages(settings))
    try:
        yield _read_by(settings, library)
    finally:
        library.close()


def _read_by(settings: Settings, library: Library) -> Opened:
    models = models_of(settings, library)
    engine = library.engine(model_ids(models))
    if library.stale(engine):
        _catch_up(library, engine, models)
    if lacking := library.lacking(model_ids(models)):
        name = model_name(settings, library)
        _log.warning("Files found by words alone until `loupe model use %s` has embedded them: %d.", name, len(lacking))
    gate = policy.Settings(settings.time_zone, frozenset(settings.sensitive_groups))
    searcher = Searcher(library.catalog, engine, models, library.renditions, gate)
    return Opened(library, models, engine, searcher)


def _catch_up(library: Library, engine: EmbeddedEngine, models: Models) -> None:
    """A generation that is missing, damaged or old is made again; an indexer at work will publish one itself."""
    try:
        with library.writer():
            library.catch_up(engine, model_ids(models))
    except LibraryBusy:
        engine.refresh()


def limits(settings: Settings) -> Limits:
    return Limits(
        max_pixels=settings.max_pixels,
        max_bytes=settings.max_bytes,
        seconds=settings.decode_seconds,
        memory_bytes=settings.decode_memory,
    )


def index(
    settings: Settings,
    paths: Sequence[Path],
    manifest: Path | None,
    *,
    collection: str = "",
    collection_grants: Mapping[str, Sequence[str]] | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Event | None = None,
) -> Summary:
    """Bring the library in step with the paths. Raises LibraryBusy, BadSettings, BadManifest."""
    library = Library(Path(settings.data_dir), create=True, languages=languages(settings))
    try:
        with library.writer():
            for name, rules in (collection_grants or {}).items():
                grant_collection(library, name, rules)
            return _indexer(settings, library, collection).run(paths, manifest, progress, stop)
    finally:
        library.close()


def watch(
    settings: Settings,
    folders: Sequence[Path],
    manifest: Path | None,
    *,
    collection: str,
    bar: Callable[[], AbstractContextManager[Callable[[Progress], None]]],
    tell: Callable[[Summary | LoupeError], None],
    stop: Event,
) -> None:
    """Keep the library in step with the folders until `stop` is set. Raises what `index` does, in its first run."""
    library = Library(Path(settings.data_dir), create=True, languages=languages(settings))
    try:
        model = partial(model_name, settings, library)
        made = partial(_indexer, settings, library, collection)
        Watcher(library, model, made, bar, tell).run(folders, manifest, stop)
    finally:
        library.close()


def _indexer(settings: Settings, library: Library, collection: str) -> Indexer:
    """One that works with the model that the library is searched with. Raises ModelUnavailable."""
    defaults = facts.Defaults(
        collection=collection,
        status=settings.default_status,
        licence=settings.default_licence,
        release=settings.default_release,
        grants=tuple(parse_grant(rule) for rule in settings.default_grants.split(";") if rule.strip()),
    )
    models = models_of(settings, library)
    return Indexer(library, models, defaults=defaults, limits=limits(settings), workers=settings.workers)


def rebuild(settings: Settings, progress: Callable[[Progress], None], stop: Event) -> tuple[int, previews.Remade]:
    """Publish everything anew, and make the previews that are gone; the generation's number, and what came of it."""
    library = Library(Path(settings.data_dir), languages=languages(settings))
    try:
        ids = model_ids(models_of(msgspec.structs.replace(settings, runtime="float32"), library))
        with library.writer():
            engine = library.engine(ids)
            library.rebuild(engine, ids)
            return engine.generation, previews.remake(library, limits(settings), progress, stop)
    finally:
        library.close()


def purge(settings: Settings, ids: Sequence[str]) -> None:
    """Remove assets for good, and finish what an interrupted purge left. Raises NotFound, BadSettings, LibraryBusy."""
    library = Library(Path(settings.data_dir), languages=languages(settings))
    try:
        for name in ids:
            asset = library.catalog.asset(name)
            if asset and Path(asset.path).exists():
                raise BadSettings(f"{asset.path} is still there and would be indexed again.", "Remove it first.")
        models = model_ids(models_of(settings, library))
        with library.writer():
            library.purge(library.engine(models), models, ids, by=getpass.getuser())
    finally:
        library.close()


def use_model(
    settings: Settings, name: str, progress: Callable[[Progress], None] = lambda _: None, stop: Event | None = None
) -> Reembedded:
    """Embed the library with another model and move it over. Raises ModelUnavailable, BadSettings."""
    if settings.model not in ("", name):
        raise BadSettings(
            f"The setting `model` names {settings.model}, which goes before what is chosen here.",
            "Take it out of loupe.toml or LOUPE_MODEL.",
        )
    library = Library(Path(settings.data_dir), languages=languages(settings))
    try:
        models = load_models(name, models_directory(settings), settings.runtime)
        return Reembedder(library, models, limits(settings)).run(lasting(name), progress, stop)
    finally:
        library.close()


def train_model(
    settings: Settings,
    name: str,
    collections: Sequence[str],
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Event | None = None,
) -> Trained | None:
    """Fit loupe-mini to what is approved in the collections (none: in all); None if stopped. Raises BadQuery."""
    stop = stop or Event()
    whole = adapting.full_name(name)
    library = Library(Path(settings.data_dir))
    try:
        if model_name(settings, library) == whole:
            raise BadQuery(f"{whole} would be replaced while the library answers with it.", "Give another --name.")
        mini = loupe_mini.load()
        assets = approved.approved(library, collections)
        seen = list(approved.examples(library, mini, assets, progress, stop))
        if stop.is_set():
            return None
        made = adapting.adapt(mini, seen, lambda done, total: progress(Progress(done, total, "learning")))
        parent = f"{loupe_mini.NAME} {loupe_mini.digest()}"
        return adapting.save(
            models_directory(settings), whole, mini, parent, collections, approved.digest(assets), made
        )
    finally:
        library.close()


def grant_collection(library: Library, collection: str, rules: Sequence[str]) -> None:
    """Replace a collection's grants by these, written as in a manifest. Raises BadManifest."""
    parsed = [parse_grant(rule) for rule in rules]
    library.catalog.grant_collection(collection, facts.grants(parsed, ResourceKind.collection, collection))


class ImageReader:
    """Decodes query images in a child process, one at a time, under bounds of their own."""

    def __init__(self, settings: Settings, staging: Path) -> None:
        bounds = msgspec.structs.replace(limits(settings), max_bytes=settings.max_upload, seconds=10.0)
        self._decoder = Decoder(bounds, staging)
        self._lock = Lock()

    def __call__(self, data: bytes) -> Image.Image:
        with self._lock:
            return self._decoder.decode_image(data)

    def close(self) -> None:
        self._decoder.close()


class Following:
    """A library as it is served: moves on to another model when the library does, between two requests."""

    def __init__(self, settings: Settings, first: Opened) -> None:
        self._settings = settings
        self._name = model_name(settings, first.library)
        self._stop = Event()
        self._thread = Thread(target=self._follow, name="follow-model", daemon=True)
        self.now = first

    def __enter__(self) -> "Following":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def searcher(self) -> Searcher:
        """What answers requests that begin now."""
        return self.now.searcher

    def moved(self) -> bool:
        """Move on if the library did, and say whether that was so."""
        name = model_name(self._settings, self.now.library)
        if name == self._name:
            return False
        self._name = name  # whatever comes of it, it is not tried again
        try:
            self.now = _warmed(_read_by(self._settings, self.now.library))
        except LoupeError as error:
            _log.error("The model %s is not used; the one before goes on answering: %s", name, error)
            return False
        _settle()
        _log.info("Searches are answered with the model %s now.", name)
        return True

    def _follow(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self.moved()


def application(
    settings: Settings,
    following: Following,
    read_image: ImageReader,
    answer: answering.Answering,
    at_work: Callable[[], Sequence[int]],
) -> Litestar:
    """The web application over an opened library."""
    opened = following.now
    local = settings.sign_in == "local"
    people: tuple[Person, ...] = read_people(opened.library.directory) if local else ()
    return create_app(
        following.searcher,
        Tokens(opened.library.secret()),
        answer=answer,
        processes=at_work,
        people=people,
        read_image=read_image,
        session_hours=settings.session_hours,
        max_upload=settings.max_upload,
        hosts=[f"{name}{port}" for name in _LOCAL_NAMES for port in ("", f":{settings.port}")] if local else (),
    )


def serve(settings: Settings, ready: Callable[[], None]) -> None:
    """Serve until interrupted. `ready` is called once searches will be answered. Raises BadSettings."""
    check_sign_in(settings)
    runtimes.one_thread()
    with _bound(settings) as place, opened(settings) as library, serving(library.library.directory):
        following = Following(settings, library)
        _warmed(library)
        _settle()
        try:
            if settings.processes == 1:
                with following, _app(settings, following, answering.answer, processes.alone) as app:
                    _answer(app, place, ready)
            else:
                _answer_together(settings, following, place, ready)
        finally:
            gc.unfreeze()  # or libraries complain, at the end, that their objects were never let go


@contextmanager
def _app(
    settings: Settings,
    following: "Following",
    answer: answering.Answering,
    at_work: Callable[[], Sequence[int]],
) -> Iterator[Litestar]:
    reader = ImageReader(settings, following.now.library.directory)
    try:
        with _kept_current(following):
            yield application(settings, following, reader, answer, at_work)
    finally:
        reader.close()


@contextmanager
def _kept_current(following: "Following") -> Iterator[None]:
    """Take in what is published and changed as it comes, so that no request opens an index, and few have to read what
    changed since the one before."""
    stop = Event()

    def keep() -> None:
        pause = _REFRESH_SECONDS
        while not stop.wait(pause):
            try:
                following.searcher().refresh()
                pause = _REFRESH_SECONDS
            except Exception:  # told to whoever looks after the server; requests say for themselves what is wrong
                _log.exception("What is new could not be taken in")
                pause = _REFRESH_AGAIN

    thread = Thread(target=keep, name="refresh", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _answer(app: ASGIApp, place: socket.socket, ready: Callable[[], None]) -> None:
    """Answer in this process until it is told to stop."""
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    _Server(config, ready).run(sockets=[place])


def _answer_together(
    settings: Settings, following: "Following", place: socket.socket, ready: Callable[[], None]
) -> None:
    """Have several processes search, and one answer, until this one is told to stop.

    That one may be replaced, and connections wait for the other: all listen at the same place, which stays open here.
    """

    def work(doors: Sequence[Path], number: int, listening: Callable[[], None]) -> None:
        if number:
            with _kept_current(following):
                answering.work(following.searcher(), doors[number - 1], listening)
            return
        team = answering.Team(doors)
        with _app(settings, following, team.answer, processes.siblings) as app:
            _answer(app, place, listening)

    def crew(directory: str) -> processes.Crew:
        own = tempfile.mkdtemp(dir=directory)
        doors = [Path(own, str(number)) for number in range(settings.processes)]
        # Of a connection to SQLite no copy may be used; another is made at need.
        rest = following.now.library.catalog.close
        return processes.Crew(1 + len(doors), rest, partial(work, doors))

    with tempfile.TemporaryDirectory(prefix="loupe-") as directory, processes.heard() as wait:
        now = crew(directory)
        ready()
        try:
            while wait(_LOOK_SECONDS):
                now.tend()
                if following.moved():
                    before, now = now, crew(directory)
                    before.dismiss()
        finally:
            now.dismiss()


def _warmed(opened: Opened) -> Opened:
    """The same, once what the first search would wait for is done."""
    opened.searcher.refresh()
    opened.models.read("ready")  # the models' libraries set themselves up at their first use
    return opened


def _settle() -> None:
    """Tell the garbage collector that what is loaded stays.

    Else it looks through all of it, hundreds of thousands of objects, again and again as searches go by, and meanwhile
    nobody is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _bound(settings: Settings) -> socket.socket:
    """The address, taken before the model is loaded, and listened on after. Raises BadSettings."""
    place = _socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    try:
        place.bind((settings.host.strip("[]"), settings.port))
    except OSError as error:
        place.close()
        raise BadSettings(
            f"{settings.host}, port {settings.port} cannot be served on: {error.strerror or error}.",
            "Stop the program that has it, or name another: --port 9000.",
        ) from error
    return place


def _socket(family: int) -> socket.socket:
    # asyncio sends at once (TCP_NODELAY) only on sockets that name their protocol; else each answer waits 40 ms.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


class _Server(uvicorn.Server):
    """Says when it listens; and when it is told to stop, it lets people go at the end of an answer.

    Who keeps a connection may be asking on it at the moment at which it is closed, and would be told nothing. So
    answers say that they are the last, and connections are closed then, or after as long as they may lie idle in any
    case. Ctrl-C closes them at once.
    """

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening
        self._at_once = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._at_once |= sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        ends = monotonic() + self.config.timeout_keep_alive + 1
        while self.server_state.connections and not self._at_once and monotonic() < ends:
            await asyncio.sleep(_LEAVING_LOOK)
        await super().shutdown(sockets)
