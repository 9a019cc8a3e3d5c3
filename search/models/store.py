"""Models fetched from a hub: pulled once, pinned by revision and checksum, verified each time they are loaded.

DIRECTORY/NAME/model.json      what was pulled: written last, so that what has one is whole
              /…               the weights file
              /….partial       what an interrupted pull has so far; the next one goes on from there

huggingface_hub does the transfer, with its retries and its progress bar; `HF_ENDPOINT` names another hub. Its own
`hf_hub_download` throws a partial file away when it is interrupted, so files are kept here. The hub says which
revision a name stands for and which sha256 the file has; both are recorded, and held to from then on: a pull never
moves to another revision unless it is named.
"""

import fcntl
import hashlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import open_clip
from httpx2 import HTTPError
from huggingface_hub import HfApi, HfFileMetadata, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils._headers import build_hf_headers

from search.errors import BadQuery, ModelUnavailable

_RECORD: Final = "model.json"
#: Weights files by which open_clip publishes, the safest format first.
_FILES: Final = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_UNKNOWN: Final = "unknown"


class Pulled(msgspec.Struct, frozen=True):
    """A model as it was pulled: `name` is open_clip's "ARCHITECTURE/TAG", `revision` a commit of `repository`."""

    name: str
    repository: str
    revision: str
    file: str
    sha256: str
    byte_size: int
    licence: str
    pulled: datetime


class ModelStore:
    """The folder of pulled models."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def pulled(self) -> list[Pulled]:
        """All that were pulled, by name."""
        records = (self._read(path) for path in self._directory.glob(f"*/{_RECORD}"))
        return sorted(records, key=lambda one: one.name)

    def get(self, name: str) -> Pulled | None:
        path = self._folder(name) / _RECORD
        return self._read(path) if path.is_file() else None

    def checkpoint(self, name: str) -> Path:
        """The verified weights file of a model. Raises ModelUnavailable, with the remedy."""
        one = self.get(name)
        if one is None:
            raise ModelUnavailable(
                f"The model {name!r} is not on this machine.",
                f"`loupe model pull {name}` fetches it; without a hub, use loupe-mini or ARCHITECTURE/FILE.",
            )
        path = self._folder(name) / one.file
        found = _sum(path) if path.is_file() else "none: the file is gone"
        if found != one.sha256:
            raise ModelUnavailable(
                f"{path} is not the file that was pulled: its sha256 is {found}, not {one.sha256}.",
                f"`loupe model pull {name}` fetches it again.",
            )
        return path

    def pull(self, name: str, revision: str | None = None, sha256: str | None = None) -> Pulled:
        """Fetch a model, or verify the one that is there. Progress shows on stderr. Raises ModelUnavailable, BadQuery.

        Without `revision`, the one recorded before, or else what the hub's main branch stands for now. `sha256` is
        demanded of the file if given, besides what the hub says of it.
        """
        repository, preferred = _published(name)
        before = self.get(name)
        wanted = revision or (before.revision if before else constants.DEFAULT_REVISION)
        try:
            file, metadata = _located(repository, preferred, wanted)
            commit = metadata.commit_hash or wanted
            expected = sha256 or _sha256_of(metadata.etag)
            folder = self._folder(name)
            if before and before.revision == commit and before.sha256 == (expected or before.sha256):
                there = folder / before.file
                if there.is_file() and _sum(there) == before.sha256:
                    return before
            partial = folder / f"{_sha256_of(metadata.etag) or commit}.partial"
            _fetch(hf_hub_url(repository, file, revision=commit), partial, metadata.size)
            found = _sum(partial)
            if expected and found != expected:
                partial.unlink()
                raise ModelUnavailable(
                    f"What came of {name!r} has the sha256 {found}, not {expected}. It was thrown away.",
                    "Pull it again; if that fails, ask whoever runs the hub.",
                )
            path = partial.replace(folder / Path(file).name)
            one = Pulled(
                name,
                repository,
                commit,
                path.name,
                found,
                path.stat().st_size,
                _licence(repository, commit),
                datetime.now(UTC),
            )
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise ModelUnavailable(f"The hub has no {repository} at {wanted!r}.", "Name another revision.") from error
        except (HfHubHTTPError, OfflineModeIsEnabled, HTTPError, OSError) as error:
            raise ModelUnavailable(
                f"The model {name!r} cannot be fetched from {constants.ENDPOINT}: {_first_line(error)}.",
                "What came so far is kept; pull again to go on. Without a hub, use loupe-mini or ARCHITECTURE/FILE.",
            ) from error
        _write(folder / _RECORD, msgspec.json.format(msgspec.json.encode(one)))
        return one

    def _folder(self, name: str) -> Path:
        return self._directory / name.replace("/", "--")

    def _read(self, path: Path) -> Pulled:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Pulled)
        except (OSError, msgspec.DecodeError) as error:
            raise ModelUnavailable(f"{path} cannot be read: {error}.", "Delete its folder and pull again.") from error


def _published(name: str) -> tuple[str, str]:
    """Where open_clip says that a model is published: the repository, and the file if it names one. Raises BadQuery."""
    architecture, _, tag = name.partition("/")
    known = open_clip.get_pretrained_cfg(architecture, tag)
    if not known:
        raise BadQuery(f"There is no model {name!r}.", "`loupe model list --all` prints the names.")
    if not known.get("hf_hub"):
        raise BadQuery(f"{name!r} is on no hub.", "Fetch its weights by hand and use ARCHITECTURE/FILE.")
    owner, repository, *file = known["hf_hub"].split("/")
    return f"{owner}/{repository}", "/".join(file)


def _located(repository: str, named: str, revision: str) -> tuple[str, HfFileMetadata]:
    """The weights file and what the hub says of it: the one that open_clip names, else the safest format there is."""
    files = [named] if named else list(_FILES)
    for file in files[:-1]:
        try:
            return file, get_hf_file_metadata(hf_hub_url(repository, file, revision=revision))
        except RemoteEntryNotFoundError:
            continue
    return files[-1], get_hf_file_metadata(hf_hub_url(repository, files[-1], revision=revision))


def _fetch(url: str, partial: Path, size: int | None) -> None:
    """Append to `partial` what it lacks. Raises ModelUnavailable if another process is at it."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelUnavailable("Another process is fetching this model.", "Wait for it to end.") from error
        http_get(url, file, resume_size=file.tell(), headers=build_hf_headers(), expected_size=size)
        file.flush()
        os.fsync(file.fileno())


def _sha256_of(etag: str | None) -> str | None:
    """The hub's checksum: large files are tagged by their sha256, small ones by another hash."""
    return etag if etag and re.fullmatch("[0-9a-f]{64}", etag) else None


def _licence(repository: str, revision: str) -> str:
    card = HfApi().model_info(repository, revision=revision).card_data
    return str(card.get("license") or _UNKNOWN) if card else _UNKNOWN


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, also if the power fails."""
    aside = path.with_suffix(".new")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
