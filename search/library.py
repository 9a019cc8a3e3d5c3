"""One library on disk: where its catalog, renditions and generations lie in a data directory, and who may write.

DATA_DIR/catalog.sqlite     the truth
        /renditions/        previews and proxies, by content hash
        /generations/       what engines derived, numbered
        /writer.lock        held while a process writes
        /serving.lock       held by each process that serves
        /secret             signs the tokens of this library
        /model              the name of the model in use, once one was chosen
        /synonyms.txt       words for the same thing, if somebody wrote it (see search.engines.embedded.synonyms)
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from search import durable
from search.catalog import Catalog
from search.corpus import KINDS, CatalogSource
from search.engine import Space
from search.engines.embedded import EmbeddedEngine, generation, synonyms
from search.engines.embedded.analysis import ENGLISH, Languages
from search.errors import BadSettings, LibraryBusy
from search.renditions import RenditionStore

CATALOG: Final = "catalog.sqlite"
_MODEL: Final = "model"

#: Bytes of the key that signs tokens.
_KEY: Final = 32


class Library:
    """A data directory, opened. `create` makes one where there is none; else that is BadSettings.

    `languages` are those that it is indexed for.
    """

    def __init__(self, directory: Path, *, create: bool = False, languages: Languages = ENGLISH) -> None:
        self.directory = directory.resolve()
        catalog = self.directory / CATALOG
        if not create and not catalog.is_file():
            raise BadSettings(
                f"There is no library in {directory}.", "Index something first: loupe index PATH; or name --data-dir."
            )
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise BadSettings(f"{directory} cannot be used as a data directory: {error.strerror}.") from error
        self.catalog = Catalog.at(catalog)
        self._languages = languages
        self.generations = self.directory / "generations"
        self.renditions = RenditionStore(self.directory / "renditions")

    def close(self) -> None:
        self.catalog.close()

    def engine(self, models: Mapping[Space, str]) -> EmbeddedEngine:
        """The engine over the newest sound generation made with these models (space to model id)."""
        engine = EmbeddedEngine(
            self.generations,
            dict(models),
            self._languages,
            synonyms.SynonymsFile(self.directory / synonyms.FILE),
        )
        engine.refresh()
        return engine

    def publish(self, engine: EmbeddedEngine, models: Mapping[Space, str]) -> None:
        """Derive everything from the catalog again. Call with the writer's lock held."""
        engine.publish(CatalogSource(self.catalog, models).corpus())

    def rebuild(self, engine: EmbeddedEngine, models: Mapping[Space, str]) -> None:
        """Derive everything from the catalog again, and let go of what was derived before, which may be damaged. Call
        with the writer's lock held."""
        self.publish(engine, models)
        generation.keep_only(self.generations, engine.generation)

    def catch_up(self, engine: EmbeddedEngine, models: Mapping[Space, str], *, settle: bool = True) -> None:
        """Publish what changed (see `Engine.catch_up`). Call with the writer's lock held."""
        engine.catch_up(CatalogSource(self.catalog, models), settle=settle)

    def purge(self, engine: EmbeddedEngine, models: Mapping[Space, str], ids: Sequence[str], by: str) -> None:
        """Remove assets, and what was said, made and indexed of them, but for their audit entries.

        Call with the writer's lock held. Raises NotFound, and then nothing is removed.
        """
        self.catalog.purge(ids, by)
        self.finish_purges(engine, models)

    def finish_purges(self, engine: EmbeddedEngine, models: Mapping[Space, str]) -> None:
        """Remove what a purge that was interrupted has left."""
        self.catalog.empty_log()
        for content_hash in self.renditions.hashes() - self.catalog.content_hashes():
            self.renditions.remove(content_hash)
        engine.catch_up(CatalogSource(self.catalog, models), purged=self.catalog.purged())

    def stale(self, engine: EmbeddedEngine) -> bool:
        """Whether assets changed since the engine's generation was made, or it was made for other languages."""
        return engine.head < self.catalog.head() or engine.outdated

    def lacking(self, models: Mapping[Space, str]) -> set[str]:
        """The files that these models (space to id) have not seen or read all of."""
        return self.catalog.paths_lacking(
            {models[space]: [kind.value for kind in kinds] for space, kinds in KINDS.items()}
        )

    def model(self) -> str:
        """The name of the model in use; empty until one was chosen."""
        try:
            return (self.directory / _MODEL).read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""

    def use(self, model: str) -> None:
        """Have this model used from now on. Call with the writer's lock held, once a generation of it is published."""
        aside = self.directory / f"{_MODEL}.new"
        aside.write_text(f"{model}\n", encoding="utf-8")
        durable.move(aside, self.directory / _MODEL)

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Be the one process that writes. The lock frees when the process ends, however it ends. Raises LibraryBusy."""
        descriptor = os.open(self.directory / "writer.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LibraryBusy(
                    f"Another process is writing to {self.directory}.", "Wait for it to end, or use another --data-dir."
                ) from error
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def staging(self, name: str = "staging") -> Iterator[Path]:
        """A folder for renditions in the making. What a run that was killed left in it goes first, so that of each name
        there is one at a time: hold the writer's lock, or give a name of your own."""
        folder = self.directory / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def secret(self) -> bytes:
        """The key that signs this library's tokens, made at first use, readable by its owner only. Raises BadSettings
        when it is not whole: nobody may be able to guess it."""
        path = self.directory / "secret"
        if not path.exists():
            aside = path.with_name(f"secret-{secrets.token_hex(8)}.new")
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(_KEY))
            durable.sync(aside)
            try:
                os.link(aside, path)
            except OSError:  # another process was first, or this disk has no links
                if not path.exists():
                    aside.replace(path)
            aside.unlink(missing_ok=True)
            durable.sync(self.directory)
        try:
            key = bytes.fromhex(path.read_text())
        except ValueError:
            key = b""
        if len(key) != _KEY:
            raise BadSettings(
                f"{path} is not as it was written.", "Remove it: another is made, and everybody signs in again."
            )
        return key
