"""Every error Loupe raises on purpose, in one tree.

LoupeError
├── InvalidInput          the caller's words are off; nothing was done
│   ├── BadQuery          a search request outside its bounds
│   ├── BadManifest       a manifest row or column (named: file, row, column)
│   ├── BadSettings       a setting, an option or an environment variable
│   └── MediaError        a file or query image that is not taken
│       ├── UnsupportedMedia   not on the allow-list, or not what its name says
│       ├── MediaTooLarge      over the bound on pixels, bytes, time or memory
│       └── BrokenMedia        truncated, damaged, empty
├── NotFound              no such asset for this person (hidden and missing are one)
├── NotCleared            the person finds the asset but may not use it so
├── Unauthenticated       no valid token
├── LibraryBusy           another writer holds the data directory
├── ModelUnavailable      weights missing, or not those the manifest names
├── CatalogDamaged        the catalog is not what SQLite wrote
├── GenerationDamaged     a derived file fails its checksum
├── NotWritten            a catalog or a backup could not be written; what was there before is safe
├── NotPublished          the index could not be written; what was taken in is safe
└── BackupDamaged         a backup that is cut short, or not as it was written
"""


class LoupeError(Exception):
    """Base of all. `message` says what was wrong, `remedy` what to do; `code` names the kind for machines."""

    code = "error"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


class InvalidInput(LoupeError):
    code = "invalid-input"


class BadQuery(InvalidInput):
    code = "bad-query"


class BadManifest(InvalidInput):
    code = "bad-manifest"


class BadSettings(InvalidInput):
    code = "bad-settings"


class MediaError(InvalidInput):
    code = "bad-media"


class UnsupportedMedia(MediaError):
    code = "unsupported-media"


class MediaTooLarge(MediaError):
    code = "media-too-large"


class BrokenMedia(MediaError):
    code = "broken-media"


class NotFound(LoupeError):
    code = "not-found"


class NotCleared(LoupeError):
    """Carries the reason codes."""

    code = "not-cleared"

    def __init__(self, message: str, reasons: tuple[str, ...], remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.reasons = reasons


class Unauthenticated(LoupeError):
    code = "unauthenticated"


class LibraryBusy(LoupeError):
    code = "library-busy"


class ModelUnavailable(LoupeError):
    code = "model-unavailable"


class CatalogDamaged(LoupeError):
    code = "catalog-damaged"


class GenerationDamaged(LoupeError):
    code = "generation-damaged"


class NotWritten(LoupeError):
    code = "not-written"


class NotPublished(LoupeError):
    code = "not-published"


class BackupDamaged(LoupeError):
    code = "backup-damaged"
