"""From files to a searchable library: plan, decode, embed, take in, publish.

A file whose size and time are as remembered costs a stat; a changed one is redone; one that went elsewhere is known by
its content and stays the asset that it is; one that is gone is marked. A run looks at all, or where it is told that
something changed. Work goes in small batches, each durable before the next begins, so that stopping at any moment loses
at most the batch in hand. A file that cannot be taken is set aside by name with the reason, and the run goes on.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Final

import msgspec

from indexer import facts
from indexer.manifest import ManifestRow, read_manifest
from indexer.media import Decoded, Decoder, Frame, Limits, picture
from indexer.metadata import embedded_metadata
from indexer.publishing import Publisher
from indexer.sources import TRANSCRIPTS, Source, find, of_no_kind, spoken_of
from indexer.transcripts import Passage, page_passages, passages, read_transcript
from search.catalog import LOOKED_UP, Catalog, Intake, Known, Made, SetAside
from search.corpus import KINDS, description_text, embed_segments
from search.embedding import Models
from search.engine import Space
from search.engines.embedded import EmbeddedEngine
from search.errors import BrokenMedia, LoupeError
from search.library import Library
from search.types import Asset, ResourceKind, Segment, SegmentKind, Status

#: Files decoded between two commits. Small enough to lose little, large enough to embed in batches.
BATCH: Final = 8


class Summary(msgspec.Struct, frozen=True):
    """What a run did. `problems` speak of manifests, and of files named that are of no kind taken; each file set aside
    is named with its reason."""

    indexed: int
    unchanged: int
    vanished: int
    set_aside: tuple[SetAside, ...]
    problems: tuple[str, ...]
    interrupted: bool

    @property
    def clean(self) -> bool:
        return not (self.set_aside or self.problems or self.interrupted)


class Progress(msgspec.Struct, frozen=True):
    """How far a run is: files done of all that need work, and the one just done."""

    done: int
    total: int
    name: str


class _Job(msgspec.Struct, frozen=True):
    """A file that needs work. `known` is set when its bytes are as remembered and only what is said of it changed."""

    source: Source
    row: ManifestRow | None
    digest: str
    id: str
    status: Status
    described_only: bool


class _Plan(msgspec.Struct):
    jobs: list[_Job]
    unchanged: int
    vanished: list[str]
    aside: list[SetAside]
    problems: list[str]


class _Prepared(msgspec.Struct, frozen=True):
    """A file ready to be taken in once its frames (by embedding key) and texts are embedded."""

    intake: Intake
    frames: Mapping[str, Frame]


class Indexer:
    """Brings a library in step with folders. Hold the library's writer lock around `run`."""

    def __init__(
        self,
        library: Library,
        models: Models,
        *,
        defaults: facts.Defaults,
        limits: Limits,
        workers: int,
    ) -> None:
        self._library = library
        self._catalog: Catalog = library.catalog
        self._models = models
        self._defaults = defaults
        self._limits = limits
        self._workers = workers
        self._engine: EmbeddedEngine | None = None
        self._model_ids = {Space.visual: str(models.visual.model_id), Space.text: str(models.text.model_id)}

    def run(
        self,
        paths: Sequence[Path],
        manifest: Path | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
        stop: Event | None = None,
        among: Collection[Path] | None = None,
    ) -> Summary:
        """Index the paths; once `stop` is set, end after the batch in hand. Raises BadSettings, BadManifest.

        Of `among`, whole paths, only these are looked at, what is below them, and the files that those which are
        sidecars speak of.
        """
        stop = stop or Event()
        plan = self._plan(paths, manifest, among)
        aside = list(plan.aside)
        done = 0
        self._engine = engine = self._engine or self._library.engine(self._model_ids)
        with self._library.staging() as staging, Publisher(lambda: self._publish(engine, settle=False)) as publisher:
            for batch in self._prepared(plan.jobs, staging, stop):
                good = [one for _, one in batch if isinstance(one, _Prepared)]
                self._take_in(good)
                publisher.tell()
                for job, outcome in batch:
                    if isinstance(outcome, SetAside):
                        self._catalog.put_aside(outcome)
                        aside.append(outcome)
                    done += 1
                    progress(Progress(done, len(plan.jobs), job.source.path.name))
        self._catalog.mark_vanished(plan.vanished)
        self._publish(engine, settle=True)
        return Summary(
            indexed=done - (len(aside) - len(plan.aside)),
            unchanged=plan.unchanged,
            vanished=len(plan.vanished),
            set_aside=tuple(sorted(aside, key=lambda one: one.path)),
            problems=tuple(plan.problems),
            interrupted=done < len(plan.jobs),
        )

    def _publish(self, engine: EmbeddedEngine, *, settle: bool) -> None:
        self._library.catch_up(engine, self._model_ids, settle=settle)

    # ---- planning

    def _plan(self, paths: Sequence[Path], manifest: Path | None, among: Collection[Path] | None) -> _Plan:
        rows, problems = _read_rows(manifest)
        if among is not None:
            among = {*among, *(beside for path in among for beside in spoken_of(path))}
            among = among if len(among) <= LOOKED_UP else None
        below = None if among is None else [str(path) for path in among]
        sources = list(find(paths, without=self._library.directory, among=among))
        seen = {str(source.path) for source in sources}
        known = self._catalog.known_files(below)
        remembered = self._catalog.set_aside_files(below)
        lacking = self._library.lacking(self._model_ids) if below is None else set()
        owners = self._catalog.ids(below, [rows[path].id or "" for path in seen & rows.keys()])
        ids = {path: name for name, path in owners.items()}
        plan = _Plan([], 0, [], [], problems if below is None else [])
        roots = [root.resolve() for root in paths]
        gone = [path for path in (*known, *remembered) if path not in seen and _below(path, roots)]
        new = [source for source in sources if str(source.path) not in ids]
        if below is None:  # hardly any of them can have been there before
            sizes = {known[path].byte_size for path in gone if path in known} | self._catalog.vanished_sizes()
            new = [source for source in new if source.byte_size in sizes]
        moved = self._moved(new, roots)
        for path, before in moved.items():
            self._catalog.move(before.path, path)
            if before.path in known:
                known[path] = known.pop(before.path)
            ids[path] = before.id
            owners[before.id] = path
        moved_from = {before.path for before in moved.values()}
        plan.vanished = [path for path in gone if path not in moved_from]
        for source in sources:
            path = str(source.path)
            if trouble := _trouble(source, remembered.get(path)):
                plan.aside.append(trouble)
                self._catalog.put_aside(trouble)
                continue
            row = rows.pop(path, None)
            listed = row is not None or manifest is None
            digest = facts.digest(source, row, listed, self._defaults)
            remembered_as = known.get(path)
            same = remembered_as is not None and _like(remembered_as, source)
            told = remembered_as is not None and remembered_as.facts_digest == digest and path not in moved
            if same and told and path not in lacking:
                plan.unchanged += 1
                continue
            name = (row and row.id) or ids.get(path) or secrets.token_hex(8)
            if (owner := owners.get(name, path)) != path:
                if Path(owner).exists() or path in ids:
                    said = f"{source.path.name}: the id {name!r} belongs to {owner}. The file was left out."
                    plan.problems.append(said)
                    continue
                self._catalog.move(owner, path)
            status = self._defaults.status if listed else Status.draft
            plan.jobs.append(_Job(source, row, digest, name, status, same and path not in lacking))
        if below is None:
            plan.problems += [
                f"{path}: it is of no kind that is indexed. Name pictures, videos, sounds, PDFs or folders of them."
                for path, root in zip(paths, roots, strict=True)
                if of_no_kind(path) and not (manifest and root == manifest.resolve())
            ]
            plan.problems += [
                f"{manifest}: row {row.line} names {row.path}, which is not there." for row in rows.values()
            ]
        return plan

    def _moved(self, new: Sequence[Source], roots: Sequence[Path]) -> dict[str, Made]:
        """Of the new files those that were elsewhere, by their content: the path to the asset that was made of each.

        What is below none of the roots counts as there, unless a run before found that it vanished.
        """
        moved: dict[str, Made] = {}
        taken: set[str] = set()
        for source in new:
            if source.trouble:
                continue
            try:
                alike = self._catalog.made_from(hash_of(source.path))
            except OSError:
                continue  # it is said when the file is prepared
            for made in alike:
                away = (made.vanished or _below(made.path, roots)) and not Path(made.path).exists()
                if away and made.id not in taken:
                    moved[str(source.path)] = made
                    taken.add(made.id)
                    break
        return moved

    # ---- decoding, by worker threads that own a child process each

    def _prepared(
        self, jobs: Sequence[_Job], staging: Path, stop: Event
    ) -> Iterator[list[tuple[_Job, _Prepared | SetAside]]]:
        """Batches of jobs done, in the order they finish; a few batches are decoded ahead of the embedder."""
        decoders: SimpleQueue[Decoder] = SimpleQueue()
        opened = [Decoder(self._limits, staging) for _ in range(min(self._workers, len(jobs)))]
        for decoder in opened:
            decoders.put(decoder)

        def prepare(job: _Job) -> tuple[_Job, _Prepared | SetAside]:
            decoder = decoders.get()
            try:
                return job, self._prepare(job, decoder)
            finally:
                decoders.put(decoder)

        waiting = iter(jobs)
        try:
            with ThreadPoolExecutor(max(1, len(opened))) as pool:
                running: set[Future[tuple[_Job, _Prepared | SetAside]]] = set()
                batch: list[tuple[_Job, _Prepared | SetAside]] = []
                while True:
                    ahead = 0 if stop.is_set() else 2 * BATCH - len(running)
                    running |= {pool.submit(prepare, job) for job in islice(waiting, max(0, ahead))}
                    if not running:
                        break
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    batch += [future.result() for future in finished]
                    if len(batch) >= BATCH:
                        yield batch
                        batch = []
                if batch:
                    yield batch
        finally:
            for decoder in opened:
                decoder.close()

    def _prepare(self, job: _Job, decoder: Decoder) -> _Prepared | SetAside:
        source = job.source
        try:
            if job.described_only:
                return self._described_anew(job)
            content_hash = hash_of(source.path)
            decoded = decoder.decode(source.path)
            self._library.renditions.take(content_hash, decoded.renditions)
            return self._decoded(job, content_hash, decoded)
        except (LoupeError, OSError) as error:
            return set_aside(str(source.path), error, source.byte_size, source.mtime_ns)

    def _decoded(self, job: _Job, content_hash: str, decoded: Decoded) -> _Prepared:
        """An asset from its decoded bytes and all that is said of it."""
        embedded = embedded_metadata(decoded.embedded)
        frames = {frame_key(content_hash, frame): frame for frame in decoded.frames}
        pictures = [
            Segment(0, 0, frame.kind, key, start=frame.start, end=frame.end, page=frame.page)
            for key, frame in frames.items()
        ]
        pages = [passage for page in decoded.page_texts for passage in page_passages(page)]
        asset = Asset(
            ordinal=0,
            id=job.id,
            path=str(job.source.path),
            content_hash=content_hash,
            media_type=decoded.media_type,
            mime=decoded.mime,
            collection="",
            status=job.status,
            added=datetime.now(UTC),
            width=decoded.width,
            height=decoded.height,
            duration=decoded.duration,
            pages=decoded.pages,
            byte_size=job.source.byte_size,
            has_preview="256.webp" in decoded.renditions,
            has_playback=any(name.startswith("playback.") for name in decoded.renditions),
        )
        return _Prepared(self._described(job, asset, embedded, pictures, pages), frames)

    def _described_anew(self, job: _Job) -> _Prepared:
        """The bytes are as they were: only what is said of them is gathered again."""
        asset = self._catalog.asset_at(str(job.source.path))
        if asset is None:
            raise LoupeError(f"{job.source.path.name} left the catalog while it was indexed.", "Index again.")
        before = self._catalog.segments_of(asset.ordinal)
        pictures = [msgspec.structs.replace(s, ordinal=0, asset=0) for s in before if s.kind in KINDS[Space.visual]]
        pages = [Passage(s.text, None, None, s.page) for s in before if s.kind is SegmentKind.passage and s.page]
        embedded = self._catalog.embedded_metadata(asset.path)
        asset = msgspec.structs.replace(asset, id=job.id, status=job.status)
        return _Prepared(self._described(job, asset, embedded, pictures, pages), {})

    def _described(
        self,
        job: _Job,
        asset: Asset,
        embedded: Mapping[str, object],
        pictures: Sequence[Segment],
        pages: Sequence[Passage],
    ) -> Intake:
        source = job.source
        said = facts.gather(source, embedded, job.row)
        collection = said.collection or self._defaults.collection or source.root.name
        asset = msgspec.structs.replace(
            asset,
            collection=collection,
            status=said.status or job.status,
            title=said.title or facts.title_of(source.path),
            description=said.description or "",
            alt_text=said.alt_text or "",
            keywords=said.keywords or (),
            creator=said.creator or "",
            created=said.created,
            digital_source_type=said.digital_source_type or "",
            sensitive=bool(said.sensitive),
            rights=facts.rights(said, self._defaults),
        )
        rules = said.grants
        if rules is None and collection not in self._catalog.collection_grants():
            rules = self._defaults.grants
        asset = msgspec.structs.replace(asset, grants=facts.grants(rules or (), ResourceKind.asset, asset.id))
        words = [*_transcript(source), *pages]
        return Intake(
            asset=asset,
            mtime_ns=source.mtime_ns,
            facts_digest=job.digest,
            embedded=embedded,
            segments=(*pictures, *_descriptions(asset, said), *map(_passage, words)),
        )

    # ---- embedding and taking in

    def _take_in(self, prepared: Sequence[_Prepared]) -> None:
        """Vectors first: an asset that is in the catalog can always be indexed."""
        if not prepared:
            return
        frames = {key: frame for one in prepared for key, frame in one.frames.items()}
        visual, text = self._model_ids[Space.visual], self._model_ids[Space.text]
        new = self._new(visual, list(frames))
        if new:
            images = (picture(frames[key]) for key in new)
            self._catalog.put_embeddings(visual, dict(zip(new, self._models.visual.embed_images(images), strict=True)))
        texts = {
            segment.embedding_key: segment
            for one in prepared
            for segment in one.intake.segments
            if segment.kind in KINDS[Space.text]
        }
        new = self._new(text, list(texts))
        if new:
            vectors = embed_segments(self._models.text, [texts[key] for key in new])
            self._catalog.put_embeddings(text, dict(zip(new, vectors, strict=True)))
        self._catalog.take_in([one.intake for one in prepared], by="index")

    def _new(self, model_id: str, keys: Sequence[str]) -> list[str]:
        stored = self._catalog.embeddings(model_id, keys)
        return [key for key in keys if key not in stored]


def _read_rows(manifest: Path | None) -> tuple[dict[str, ManifestRow], list[str]]:
    """The manifest's rows by the resolved path of the file each speaks of, and what was wrong with the others."""
    if manifest is None:
        return {}, []
    read = read_manifest(manifest)
    folder = manifest.resolve().parent
    rows = {os.path.normpath(folder / row.path): row for row in read.rows}
    return rows, [str(problem) for problem in read.problems]


def _trouble(source: Source, remembered: SetAside | None) -> SetAside | None:
    """Why a file is set aside without a look at its bytes: it cannot be opened, is empty, or is bad and unchanged."""
    if source.trouble:
        return SetAside(str(source.path), "unreadable", source.trouble)
    if source.byte_size == 0:
        return SetAside(str(source.path), "broken-media", "It is empty (0 bytes). Copy it again from where it came.")
    if remembered and (remembered.byte_size, remembered.mtime_ns) == (source.byte_size, source.mtime_ns):
        return remembered
    return None


def _like(known: Known, source: Source) -> bool:
    """Whether a file is as it was, by its size and time."""
    return (known.byte_size, known.mtime_ns) == (source.byte_size, source.mtime_ns)


def hash_of(path: Path) -> str:
    """The content hash of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def decoded_again(asset: Asset, decoder: Decoder) -> Decoded:
    """What the file of an asset is decoded to, as when it was indexed. Raises MediaError, also when it is another file
    by now, and OSError."""
    path = Path(asset.path)
    if hash_of(path) != asset.content_hash:
        raise BrokenMedia("It has changed since it was indexed.", "Index it again.")
    return decoder.decode(path)


def set_aside(path: str, error: LoupeError | OSError, byte_size: int = 0, mtime_ns: int = 0) -> SetAside:
    """Why a file could not be taken. One that cannot be read is tried again, whatever its size and time."""
    if isinstance(error, OSError):
        return SetAside(path, "unreadable", f"It cannot be read: {error.strerror}.")
    return SetAside(path, error.code, str(error), byte_size, mtime_ns)


def _below(path: str, roots: Sequence[Path]) -> bool:
    """Whether the path is one of the roots or below one."""
    return any(Path(path).is_relative_to(root) for root in roots)


def frame_key(content_hash: str, frame: Frame) -> str:
    if frame.kind is SegmentKind.keyframe:
        return f"{content_hash}#t={frame.start or 0:.3f}"
    return f"{content_hash}#page={frame.page}" if frame.kind is SegmentKind.page else content_hash


def _text_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _transcript(source: Source) -> list[Passage]:
    """The passages of the sidecar transcript, if there is one; a timed one is preferred to plain text."""
    by_suffix = {path.suffix.lower(): path for path in source.sidecars()}
    for suffix in TRANSCRIPTS:
        if suffix in by_suffix:
            return passages(read_transcript(by_suffix[suffix]))
    return []


def _descriptions(asset: Asset, said: ManifestRow) -> Iterator[Segment]:
    """The metadata as one text to embed, unless a file name is all there is."""
    text = description_text(said.title or "", asset.description or asset.alt_text, asset.keywords)
    if text:
        yield Segment(0, 0, SegmentKind.description, _text_key(text), text)


def _passage(passage: Passage) -> Segment:
    return Segment(
        0, 0, SegmentKind.passage, _text_key(passage.text), passage.text, passage.start, passage.end, passage.page
    )
