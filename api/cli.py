"""The `loupe` command. Loads only what a command needs: `--help` must not wait for a model."""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import strftime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from api import settings as configuration
from api.settings import Settings
from search.errors import BadSettings, InvalidInput, LoupeError

if TYPE_CHECKING:
    from indexer.pipeline import Progress as Step
    from indexer.pipeline import Summary
    from search.catalog import SetAside
    from search.types import Hit, Page, Principal

DONE: Final = 0
SET_ASIDE: Final = 1
WRONG_USE: Final = 2
FAILED: Final = 3

#: Everything for people goes to stderr; stdout is for answers and machine-readable lines.
_console = Console(stderr=True, highlight=False)
_out = Console(highlight=False)

#: The niceness of what is least urgent (POSIX).
_LEAST_URGENT: Final = 19

_PATH: Final = click.Path(exists=True, path_type=Path)


def _emit(line: object) -> None:
    """One machine-readable line."""
    click.echo(msgspec.json.encode(line).decode())


def _settings(context: click.Context, **overrides: Any) -> Settings:
    return configuration.load(context.obj | {name: value for name, value in overrides.items() if value is not None})


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="loupe-search")
@click.pass_context
def cli(context: click.Context) -> None:
    """Loupe: semantic search over your own pictures, video, sound and documents.

    \b
    Examples:
      loupe demo                                  the sample library, with people to sign in as
      loupe index ~/Pictures                      index a folder (again: only what changed)
      loupe serve                                 serve the search page on 127.0.0.1
      loupe search "cosy evening"                 ask in the terminal

    Exit codes: 0 done, 1 done with files set aside, 2 wrong use, 3 failed.
    """
    context.ensure_object(dict)


def data_dir(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option every command has."""

    def keep(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.obj["data_dir"] = value

    return click.option(
        "--data-dir",
        metavar="DIR",
        expose_value=False,
        callback=keep,
        help="Where the library is kept. [default: .loupe]",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable lines on stdout.")
asker_options = [
    click.option("--as", "user", metavar="USER", help="Search as this person (of people.json, or any name)."),
    click.option("--group", "groups", metavar="GROUP", multiple=True, help="A group of theirs; may be repeated."),
    click.option("--role", "roles", metavar="ROLE", multiple=True, help="viewer, steward, auditor or administrator."),
]


def asked_by(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(asker_options):
        command = option(command)
    return command


# ---- serving


@cli.command()
@data_dir
@click.option("--host", help="The address to serve on; loopback only. [default: 127.0.0.1]")
@click.option("--port", type=int, help="The port to serve on. [default: 8484]")
@click.option("--build-only", is_flag=True, help="Build the library and do not serve it.")
@click.pass_context
def demo(context: click.Context, host: str | None, port: int | None, build_only: bool) -> None:
    """Build the sample library once and serve it, with demo people to sign in as.

    \b
    Example:
      loupe demo --port 9000
    """
    from api.auth import check_sign_in

    context.obj.setdefault("data_dir", ".loupe-demo")
    given = msgspec.structs.replace(_settings(context, host=host, port=port), sign_in="local")
    check_sign_in(given)
    _tell_start(given)
    from api import compose
    from api.demo import build, demo_settings

    settings = demo_settings(given)
    with _progress_bar("Indexing the sample library") as step:
        summary = build(settings, step)
    _tell_summary(summary)
    if not build_only:
        compose.serve(settings, lambda: _tell_address(settings))


@cli.command()
@data_dir
@click.option("--host", help="The address to serve on. [default: 127.0.0.1]")
@click.option("--port", type=int, help="The port to serve on. [default: 8484]")
@click.pass_context
def serve(context: click.Context, host: str | None, port: int | None) -> None:
    """Serve the search page and the API.

    \b
    Examples:
      loupe serve
      LOUPE_SIGN_IN=token loupe serve --host 0.0.0.0
    """
    from api.auth import check_sign_in

    settings = _settings(context, host=host, port=port)
    check_sign_in(settings)
    _must_exist(settings)
    _tell_start(settings)
    from api import compose

    compose.serve(settings, lambda: _tell_address(settings))


def _tell_start(settings: Settings) -> None:
    """Before `api.compose` is imported, which takes seconds. Raises BadSettings."""
    from api import processes

    if settings.processes > 1 and not processes.possible():
        raise BadSettings("Several processes search on Linux only.", "Set processes = 1.")
    _console.print("Starting Loupe: loading the model …")


def _must_exist(settings: Settings) -> None:
    """Said before the model is loaded, which takes seconds. Raises BadSettings where there is no library."""
    from search.library import Library

    Library(Path(settings.data_dir)).close()


def _tell_address(settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    _console.print(f"\nLoupe is ready at [bold]http://{host}:{settings.port}/[/bold]   (Ctrl-C stops it)")


@cli.command()
@data_dir
@click.argument("user")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="A group of theirs; may be repeated.")
@click.option(
    "--role", "roles", metavar="ROLE", multiple=True, default=["viewer"], help="May be repeated. [default: viewer]"
)
@click.option("--hours", type=click.IntRange(1, 24 * 30), help="How long it holds. [default: session_hours]")
@click.pass_context
def token(
    context: click.Context, user: str, groups: tuple[str, ...], roles: tuple[str, ...], hours: int | None
) -> None:
    """Make a bearer token for a person.

    \b
    Example:
      loupe token mara --group marketing-emea --hours 8
    """
    from api.auth import Tokens
    from search.library import Library

    settings = _settings(context)
    made, ends = Tokens(Library(Path(settings.data_dir)).secret()).make(
        _principal(user, groups, roles), timedelta(hours=hours or settings.session_hours)
    )
    _console.print(f"Valid until {ends:%Y-%m-%d %H:%M} UTC. Who holds it is {user}: hand it over safely.")
    click.echo(made)


# ---- indexing


@cli.command()
@data_dir
@click.argument("paths", nargs=-1, type=_PATH)
@click.option("--manifest", type=_PATH, help="A .csv or .jsonl that says what each file is; see README.md.")
@click.option("--collection", help="The collection of files that name none. [default: the folder's name]")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C: what changes in the folders is indexed as it does.")
@json_option
@click.pass_context
def index(
    context: click.Context,
    paths: tuple[Path, ...],
    manifest: Path | None,
    collection: str | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Index files and folders. Run it again at any time: only what changed is done.

    \b
    Examples:
      loupe index ~/Pictures
      loupe index ~/Pictures --watch
      loupe index export/ --manifest export/manifest.csv
    """
    if manifest and not paths:
        paths = (manifest.parent,)
    if not paths:
        raise click.UsageError("Name a folder or file to index, or a --manifest.")
    settings = _settings(context)
    _let_others_go_first(settings, beside=watch)
    _console.print("Loading the model …")
    from api import compose

    if watch:
        _watch(settings, paths, manifest, collection or "", as_json)
        return
    with _stoppable() as stop, _progress_bar("Indexing", as_json) as step:
        summary = compose.index(settings, paths, manifest, collection=collection or "", progress=step, stop=stop)
    _tell_run(summary, as_json)
    context.exit(FAILED if summary.interrupted else DONE if summary.clean else SET_ASIDE)


def _watch(
    settings: Settings, folders: tuple[Path, ...], manifest: Path | None, collection: str, as_json: bool
) -> None:
    """Index, and say what later runs did, if they did anything."""
    from api import compose

    begun = False

    def tell(ended: "Summary | LoupeError") -> None:
        nonlocal begun
        if isinstance(ended, LoupeError):
            if as_json:
                _emit({"event": "failed", "code": ended.code, "reason": str(ended)})
            else:
                _console.print(f"[yellow]not done yet[/yellow] {escape(str(ended))}", soft_wrap=True)
        elif not begun or ended.indexed or ended.vanished or not ended.clean:
            _tell_run(ended, as_json, at=strftime("%H:%M:%S  "))
        if not begun and not stop.is_set():
            begun = True
            _console.print("Watching for changes (Ctrl-C stops it) …")
            if as_json:
                _emit({"event": "watching"})

    with _stoppable() as stop:
        compose.watch(
            settings,
            folders,
            manifest,
            collection=collection,
            bar=lambda: _progress_bar("Indexing", as_json, transient=True),
            tell=tell,
            stop=stop,
        )


def _tell_run(summary: "Summary", as_json: bool, *, at: str = "") -> None:
    if as_json:
        _tell_aside(summary.set_aside, "set aside", as_json)
        _emit({"event": "done"} | {k: v for k, v in msgspec.to_builtins(summary).items() if k != "set_aside"})
    else:
        _tell_summary(summary, at=at)


def _let_others_go_first(settings: Settings, *, beside: bool = False) -> None:
    """Take the processors only while nobody else wants them: a server beside a long piece of work goes on answering.

    Who goes first still waits for a moment of others to end, several times in a search that takes as long as such a
    moment. So beside a server, or where one is to be expected, a processor is left to it. Call before anything has
    threads, which are as their maker was when it made them.
    """
    from search.serving import served

    os.nice(_LEAST_URGENT)
    if sys.platform == "linux" and (beside or served(Path(settings.data_dir))):
        mine = os.sched_getaffinity(0)
        if len(mine) > 1:
            os.sched_setaffinity(0, mine - {min(mine)})


@contextmanager
def _stoppable() -> Iterator[Event]:
    """Ctrl-C, or SIGTERM, sets the event, so that work ends whole; a second one stops at once."""
    stop = Event()

    def asked_to_stop(*_: object) -> None:
        _console.print("\nStopping after the files in hand (Ctrl-C again to stop at once) …")
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    before = {number: signal.signal(number, asked_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress_bar(title: str, as_json: bool = False, *, transient: bool = False) -> "Iterator[Callable[[Step], None]]":
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    unseen = transient and not _console.is_terminal
    with Progress(*columns, console=_console, transient=transient, disable=unseen) as bar:
        task = bar.add_task(title, total=None, rate="", visible=False)

        def step(at: "Step") -> None:
            speed = bar.tasks[task].finished_speed or bar.tasks[task].speed
            bar.update(
                task, completed=at.done, total=at.total, rate=f"{speed:.1f} files/s" if speed else "", visible=True
            )
            if as_json:
                _emit({"event": "progress", "done": at.done, "total": at.total, "name": at.name})

        yield step
        bar.update(task, total=bar.tasks[task].completed)


@contextmanager
def _bytes_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=_console) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell_aside(files: "Iterable[SetAside]", said: str, as_json: bool = False) -> None:
    """Name the files that could not be taken, each with the reason."""
    for file in files:
        if as_json:
            _emit({"event": "setAside", "path": file.path, "code": file.code, "reason": file.reason})
        else:
            _console.print(f"[yellow]{said}[/yellow] {escape(file.path)}: {escape(file.reason)}", soft_wrap=True)


def _tell_summary(summary: "Summary", *, at: str = "") -> None:
    _tell_aside(summary.set_aside, "set aside")
    for problem in summary.problems:
        _console.print(f"[yellow]problem[/yellow] {escape(problem)}", soft_wrap=True)
    said = [f"{summary.indexed:,} indexed", f"{summary.unchanged:,} unchanged"]
    if summary.vanished:
        said.append(f"{summary.vanished:,} gone")
    if summary.set_aside:
        said.append(f"{len(summary.set_aside):,} set aside")
    if summary.interrupted:
        said.append("stopped early; run it again to go on")
    _console.print(at + ", ".join(said) + ".")


@cli.command()
@data_dir
@click.argument("collection")
@click.argument("rules", nargs=-1)
@click.pass_context
def grant(context: click.Context, collection: str, rules: tuple[str, ...]) -> None:
    """Replace who may do what with a collection. Holds from the next request on.

    \b
    Examples:
      loupe grant Brand everyone=find group:marketing=find,use group:stewards=find,use,review
      loupe grant Brand -- -group:contractors=find everyone=find
    """
    from indexer.facts import grants
    from indexer.manifest import parse_grant
    from search.library import Library
    from search.types import ResourceKind

    library = Library(Path(_settings(context).data_dir))
    with library.writer():
        given = grants([parse_grant(rule) for rule in rules], ResourceKind.collection, collection)
        library.catalog.grant_collection(collection, given)
    _console.print(f"{escape(collection)}: {len(rules)} rules in force.")


# ---- asking


@cli.command()
@data_dir
@click.argument("text")
@asked_by
@click.option("--not", "unlike", default="", help="Push away what is like this.")
@click.option("--usage", help="Only what is cleared, e.g. channel=social,territory=DE,on=2026-12-01.")
@click.option("--limit", type=click.IntRange(1, 200), default=10, show_default=True)
@json_option
@click.pass_context
def search(
    context: click.Context,
    text: str,
    user: str | None,
    groups: tuple[str, ...],
    roles: tuple[str, ...],
    unlike: str,
    usage: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Ask in your own words.

    \b
    Examples:
      loupe search "cosy evening with a glass of red"
      loupe search "mountain" --as mara --usage channel=social,territory=DE,on=2027-03-01
      loupe search birds --json | jq '.hits[].asset.id'
    """
    from search.query import SearchRequest, parse_usage

    request = SearchRequest(text=text, unlike=unlike, usage=parse_usage(usage) if usage else None, limit=limit)
    settings = _settings(context)
    _must_exist(settings)
    principal = _asker(settings, user, groups, roles)
    from api import compose

    with compose.opened(settings) as opened:
        _answer(opened.searcher.search(principal, request), as_json)


@cli.command()
@data_dir
@click.argument("images", metavar="IMAGE...", type=_PATH, nargs=-1, required=True)
@asked_by
@click.option("--text", default="", help="Words that count as well.")
@click.option(
    "--text-weight", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="What the words count."
)
@click.option("--limit", type=click.IntRange(1, 200), default=10, show_default=True)
@json_option
@click.pass_context
def similar(
    context: click.Context,
    images: tuple[Path, ...],
    user: str | None,
    groups: tuple[str, ...],
    roles: tuple[str, ...],
    text: str,
    text_weight: float,
    limit: int,
    as_json: bool,
) -> None:
    """Find what looks like a picture, or like several taken together.

    \b
    Examples:
      loupe similar ~/Desktop/bird.jpg
      loupe similar bird.jpg parrot.jpg --text "in flight" --text-weight 0.7
    """
    from search.query import SearchRequest, check_examples

    check_examples(len(images))
    request = SearchRequest(text=text, text_weight=text_weight, limit=limit)
    data = [_bytes(image) for image in images]
    settings = _settings(context)
    _must_exist(settings)
    principal = _asker(settings, user, groups, roles)
    from api import compose

    with compose.opened(settings) as opened:
        reader = compose.ImageReader(settings, opened.library.directory)
        try:
            pictures = [reader(one) for one in data]
        finally:
            reader.close()
        _answer(opened.searcher.search(principal, request, images=pictures), as_json)


def _bytes(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise BadSettings(f"{image} cannot be read: {error.strerror}.") from error


def _principal(user: str, groups: tuple[str, ...], roles: tuple[str, ...]) -> "Principal":
    from search.types import Principal, Role

    try:
        return Principal(user, frozenset(groups), frozenset(Role(role) for role in roles) or frozenset({Role.viewer}))
    except ValueError as error:
        raise click.UsageError(f"{error}: roles are {', '.join(Role)}.") from error


def _asker(settings: Settings, user: str | None, groups: tuple[str, ...], roles: tuple[str, ...]) -> "Principal":
    """The person named, with the groups and roles given or, without any, those of people.json; by default the owner."""
    from api.auth import OWNER, read_people

    if user is None:
        if groups or roles:
            raise click.UsageError("--group and --role say more of a person: name one with --as.")
        return OWNER.principal
    known = {person.user: person.principal for person in read_people(Path(settings.data_dir))}
    if groups or roles or user not in known:
        return _principal(user, groups, roles)
    return known[user]


def _answer(page: "Page", as_json: bool) -> None:
    from api.schemas import page_out

    if as_json:
        _emit(page_out(page, 0))
        return
    table = Table("", "relevance", "asset", "cleared", "why", box=None, padding=(0, 2, 0, 0))
    weak = False
    for rank, hit in enumerate(page.hits, 1):
        if hit.weak and not weak and rank > 1:
            table.add_row("", "", "[dim]weaker matches[/dim]")
        weak = hit.weak
        reasons = ", ".join(hit.clearance.reasons)
        name = f"{escape(hit.asset.title)}\n[dim]{escape(hit.asset.file_name)}[/dim]"
        table.add_row(str(rank), f"{hit.relevance:.2f}", name, reasons or "yes", escape(_why(hit)))
    _out.print(table if page.hits else "Nothing found.")
    if page.not_cleared.total:
        counts = ", ".join(f"{count} {reason}" for reason, count in page.not_cleared.by_reason.items())
        _console.print(f"{page.not_cleared.total} more are not cleared for this use: {counts}.")


def _why(hit: "Hit") -> str:
    parts = []
    for why in hit.why:
        if why.leg == "visual":
            parts.append("looks like it" + (f" at {why.start:.0f} s" if why.start else ""))
        elif why.leg == "passage":
            parts.append(f"says “{why.text[:60]}”" + (f" at {why.start:.0f} s" if why.start is not None else ""))
        elif why.terms:
            parts.append("words: " + ", ".join(why.terms))
    return "; ".join(parts)


# ---- looking after a library


@cli.command()
@data_dir
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Say what the library holds and which files were set aside."""
    from search.engines.embedded import generation
    from search.library import Library

    library = Library(Path(_settings(context).data_dir))
    aside = library.catalog.set_aside_files()
    published = generation.numbers(library.generations)
    counts = library.catalog.counts() | {"generation": max(published, default=0)}
    if as_json:
        _emit({"dataDir": str(library.directory), **counts, "files": list(aside)})
        return
    for name, count in counts.items():
        _out.print(f"{name.replace('_', ' '):12} {count:>9,}")
    for file in aside.values():
        _out.print(f"set aside    {escape(file.path)}: {escape(file.reason)}", soft_wrap=True)


@cli.command()
@data_dir
@json_option
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Check the catalog, the audit log's chain, every published file against its checksum, and that previews are there.

    Exit code 3 if anything is wrong.
    """
    from search import verification
    from search.library import Library

    wrong = list(verification.wrong(Library(Path(_settings(context).data_dir))))
    if as_json:
        _emit({"sound": not wrong, "wrong": wrong})
    else:
        _out.print(escape("\n".join(wrong)) or "All sound.", soft_wrap=True)
    context.exit(FAILED if wrong else DONE)


@cli.command()
@data_dir
@json_option
@click.pass_context
def rebuild(context: click.Context, as_json: bool) -> None:
    """Make again what was derived: the search index from the catalog, for which no model is run and no file read, and
    previews that are gone from their files.

    \b
    Example:
      loupe verify || loupe rebuild
    """
    settings = _settings(context)
    _let_others_go_first(settings)
    _must_exist(settings)
    from api import compose

    with _stoppable() as stop, _progress_bar("Previews", as_json) as step:
        generation, remade = compose.rebuild(settings, step, stop)
    _tell_aside(remade.set_aside, "no preview", as_json)
    if as_json:
        _emit({"event": "done", "generation": generation, "previews": remade.made, "interrupted": remade.interrupted})
    else:
        again = f"; {remade.made:,} assets have their previews again" if remade.made else ""
        _console.print(f"Generation {generation} is in force{again}.")
    context.exit(FAILED if remade.interrupted else SET_ASIDE if remade.set_aside else DONE)


@cli.command()
@data_dir
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def purge(context: click.Context, ids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove assets for good: previews, vectors, texts and words, everywhere in the library; audit entries stay.

    Their files must be gone, or they would be indexed again. Without an ID, finish a purge that was interrupted.

    \b
    Example:
      rm photos/withdrawn.jpg && loupe purge 3f2a9c41d05b7e68
    """
    settings = _settings(context)
    _let_others_go_first(settings)
    _must_exist(settings)
    from api import compose

    if ids and not yes:
        click.confirm(f"Remove {len(ids):,} assets for good?", abort=True, err=True)
    compose.purge(settings, ids)
    if as_json:
        _emit({"purged": ids})
    else:
        _console.print(f"{len(ids):,} purged.")


@cli.command()
@data_dir
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def backup(context: click.Context, file: Path, as_json: bool) -> None:
    """Write the library to one FILE, while it is in use. The originals are not in it, nor what can be made again.

    \b
    Example:
      loupe backup /mnt/backups/library-2026-11-28.tar
    """
    settings = _settings(context)
    _let_others_go_first(settings)
    _must_exist(settings)
    from search import backup as backups
    from search.library import Library

    library = Library(Path(settings.data_dir))
    with _bytes_bar("Backing up") as step:
        contents = backups.write(library, file, step)
    size = file.stat().st_size
    if as_json:
        _emit({"file": str(file), "files": len(contents.files), "bytes": size})
    else:
        _console.print(f"{file}: {len(contents.files):,} files, {size / 1e6:,.1f} MB.", soft_wrap=True)


@cli.command()
@data_dir
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def restore(context: click.Context, file: Path, as_json: bool) -> None:
    """Make a library of the FILE that `loupe backup` wrote, in a --data-dir where there is none, and index it.

    \b
    Example:
      loupe restore library-2026-11-28.tar --data-dir /srv/loupe
    """
    settings = _settings(context)
    from search import backup as backups

    with _bytes_bar("Restoring") as step:
        contents = backups.restore(file, Path(settings.data_dir), step)
    from api import compose

    with compose.opened(settings) as opened:
        held = opened.library.catalog.counts()["assets"]
    if as_json:
        _emit({"dataDir": settings.data_dir, "files": len(contents.files), "assets": held})
    else:
        _console.print(f"{settings.data_dir}: {held:,} assets are there again.", soft_wrap=True)


@cli.command()
@data_dir
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Print the settings in force, and of every model on this machine where it came from and what it learned from.

    And what is wrong with the library's synonyms.txt.
    """
    settings = _settings(context)
    from search.engines.embedded import synonyms
    from search.models.listing import provenance

    used = settings.model or _chosen_model(settings)
    parts = list(provenance(used, configuration.models_directory(settings)))
    rules, problems = synonyms.read(Path(settings.data_dir) / synonyms.FILE)
    if as_json:
        said = {"rules": len(rules), "problems": problems}
        _emit({"settings": settings, "synonyms": said, "model": used, "models": parts})
        return
    for name, value in msgspec.to_builtins(settings).items():
        _out.print(f"{name:18} {escape(str(value))}")
    _out.print(f"{'synonyms':18} {len(rules)} rules")
    for problem in problems:
        _out.print(f"  {escape(problem)}", soft_wrap=True)
    _out.print(f"\n[bold]In use: {escape(used)}[/bold]")
    for part in parts:
        _out.print(f"\n[bold]{escape(part.name)}[/bold]  {escape(part.use)}", soft_wrap=True)
        for name in ("source", "licence", "sha256", "training_data"):
            _out.print(f"  {name.replace('_', ' '):14} {escape(getattr(part, name))}", soft_wrap=True)


def _chosen_model(settings: Settings) -> str:
    """The name of the library's model, also where there is no library yet."""
    from search.library import Library
    from search.models import loupe_mini

    try:
        library = Library(Path(settings.data_dir))
    except BadSettings:
        return loupe_mini.NAME
    try:
        return library.model() or loupe_mini.NAME
    finally:
        library.close()


@cli.group()
def model() -> None:
    """The models that see and read."""


@model.command("list")
@click.option("--all", "every", is_flag=True, help="Every model of open_clip, not only a choice.")
@data_dir
@json_option
@click.pass_context
def model_list(context: click.Context, every: bool, as_json: bool) -> None:
    """List the models that can be used here, and a choice of those that can be pulled.

    \b
    Examples:
      loupe model list
      loupe model list --all --json | grep SigLIP
    """
    settings = _settings(context)
    from search.models.listing import listed

    for one in listed(configuration.models_directory(settings), every=every):
        if as_json:
            _emit(one)
            continue
        size = f"{one.byte_size / 1e6:,.0f} MB" if one.byte_size else ""
        told = ", ".join(filter(None, (one.state, size, one.licence, one.about)))
        _out.print(f"[bold]{escape(one.name)}[/bold]\n  {escape(told)}", soft_wrap=True)


@model.command("pull")
@click.argument("name")
@click.option("--revision", help="A commit, tag or branch of the model's repository. [default: as pulled before]")
@click.option("--sha256", help="The checksum that the weights file must have.")
@data_dir
@json_option
@click.pass_context
def model_pull(context: click.Context, name: str, revision: str | None, sha256: str | None, as_json: bool) -> None:
    """Fetch a model of open_clip, once. Interrupted, it goes on where it was; what is there is verified.

    \b
    Examples:
      loupe model pull ViT-B-32/datacomp_xl_s13b_b90k
      loupe model pull ViT-B-16-SigLIP2-256/webli --revision 3f3c1e9
      HF_ENDPOINT=https://mirror.example loupe model pull ViT-B-32/openai
    """
    settings = _settings(context)
    from search.models.store import ModelStore

    pulled = ModelStore(configuration.models_directory(settings)).pull(name, revision, sha256)
    if as_json:
        _emit(pulled)
    else:
        _console.print(
            f"{pulled.name} is here: revision {pulled.revision}, sha256 {pulled.sha256}, licence {pulled.licence}.",
            soft_wrap=True,
        )


@model.command("use")
@click.argument("name")
@data_dir
@json_option
@click.pass_context
def model_use(context: click.Context, name: str, as_json: bool) -> None:
    """Move the library to another model. Searches go on with the old one until all is embedded anew.

    Stopped, it goes on where it was; indexing may go on meanwhile; a running server moves over by itself.

    \b
    Examples:
      loupe model use ViT-B-32/datacomp_xl_s13b_b90k     (pulled before)
      loupe model use ViT-B-32/weights/our-own.pt        a checkpoint of that architecture
      loupe model use loupe-mini                         back; what was embedded before is still there
    """
    settings = _settings(context)
    _let_others_go_first(settings)
    _must_exist(settings)
    from api import compose

    with _stoppable() as stop, _progress_bar("Embedding", as_json) as step:
        done = compose.use_model(settings, name, step, stop)
    _tell_aside(done.set_aside, "Not embedded:")
    if as_json:
        _emit(done)
    elif done.interrupted:
        _console.print(f"Stopped after {done.embedded} assets; the same command goes on.")
    else:
        _console.print(f"Searches are answered with {escape(name)} now; {done.embedded} assets were embedded.")
    context.exit(FAILED if done.interrupted else SET_ASIDE if done.set_aside else DONE)


@model.command("train")
@click.option("--from", "source", type=click.Choice(["approved"]), required=True, help="What to learn from.")
@click.option("--collection", "collections", multiple=True, help="Learn from this collection only; may be repeated.")
@click.option("--name", default="own", show_default=True, help="What to call it: it is used as loupe-mini+NAME.")
@data_dir
@json_option
@click.pass_context
def model_train(context: click.Context, source: str, collections: tuple[str, ...], name: str, as_json: bool) -> None:
    """Teach loupe-mini your own words: product names, places, people's names for things.

    It learns from pictures whose status is approved and from what is said of them, on this machine, in minutes. A fifth
    of them is left out to measure on. Drafts, and what lies outside the chosen collections, are never looked at.

    \b
    Examples:
      loupe model train --from approved --name acme
      loupe model train --from approved --collection Products --name products-2026
      loupe model use loupe-mini+acme                     then search with it
    """
    settings = _settings(context)
    _must_exist(settings)
    from api import compose

    with _stoppable() as stop, _progress_bar(f"Learning from {source}", as_json) as step:
        trained = compose.train_model(settings, name, collections, step, stop)
    if trained is None:
        _console.print("Stopped; nothing was changed.")
        context.exit(FAILED)
    if as_json:
        _emit(trained)
        return
    table = Table(title=f"{trained.left_out} pictures left out, asked for by {trained.after.names} names")
    for heading in ("", "among the first five", "mean reciprocal rank"):
        table.add_column(heading)
    for when, found in (("before", trained.before), ("after", trained.after)):
        table.add_row(when, f"{found.hit_at_5:.0%}", f"{found.mrr:.2f}")
    _out.print(table)
    _console.print(f"Learned from {trained.learned_from} assets. Use it: loupe model use {trained.name}")


def main() -> None:
    """The entry point: errors become one line and an exit code, never a trace."""
    try:
        code = cli.main(standalone_mode=False)
    except click.Abort:
        _console.print("Stopped.")
        code = FAILED
    except click.ClickException as error:
        error.show()
        code = WRONG_USE
    except KeyboardInterrupt:
        _console.print("Stopped.")
        code = FAILED
    except LoupeError as error:
        _console.print(f"[red]Error:[/red] {escape(str(error))}", soft_wrap=True)
        code = WRONG_USE if isinstance(error, InvalidInput) else FAILED
    sys.exit(code if isinstance(code, int) else DONE)
