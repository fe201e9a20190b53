"""Where files lie: a folder, or a store that speaks S3 (or Google's or Azure's protocol). Whole files, under new names.

A file is there entirely or not at all: in a folder it is written beside its place, synced and renamed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import NotFound, StartupError, Unavailable
from core.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class Store(Protocol):
    """Files by their path (`events/2025-01/17-0.parquet`)."""

    def write(self, path: str, content: bytes) -> None:
        """Put a file there; durable when it returns. Raises `Unavailable`."""

    def read(self, path: str) -> bytes:
        """All of it. Raises `NotFound` and `Unavailable`."""

    def delete(self, path: str) -> None:
        """Take it away; without effect if it is not there."""

    def paths(self) -> Iterator[str]:
        """Every file that is there."""


class Folder:
    """A folder of this machine, or one that several machines share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, path: str, content: bytes) -> None:
        """Written beside its place, synced, renamed; the folder is synced too."""
        place = self._root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside = place.with_name(f"{place.name}.{os.getpid()}.new")
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(place)
            _sync(place.parent)
        except OSError as error:
            raise Unavailable(f"The archive {self._root} takes no file: {error.strerror}.") from error

    def read(self, path: str) -> bytes:
        """The file's bytes."""
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"The archive has no file {path}.", path=path) from None
        except OSError as error:
            raise Unavailable(f"The archive {self._root} cannot be read: {error.strerror}.") from error

    def delete(self, path: str) -> None:
        """Unlink it."""
        try:
            (self._root / path).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"The archive {self._root} gives no file up: {error.strerror}.") from error

    def paths(self) -> Iterator[str]:
        """Every Parquet file below the folder, those too that were never finished."""
        for place in sorted(self._root.rglob("*.parquet*")):
            yield place.relative_to(self._root).as_posix()


class Bucket:
    """A store of objects."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def write(self, path: str, content: bytes) -> None:
        """One object; a large one in parts that become visible together."""
        import obstore

        _reaching(lambda: obstore.put(self._objects, path, content), path)

    def read(self, path: str) -> bytes:
        """The object's bytes."""
        import obstore

        return bytes(_reaching(lambda: obstore.get(self._objects, path).bytes(), path))

    def delete(self, path: str) -> None:
        """Delete it."""
        import obstore

        try:
            _reaching(lambda: obstore.delete(self._objects, path), path)
        except NotFound:
            return

    def paths(self) -> Iterator[str]:
        """Every object below the prefix."""
        import obstore

        for piece in _reaching(lambda: list(obstore.list(self._objects)), ""):
            yield from (item["path"] for item in piece if ".parquet" in item["path"])


def open_store(settings: Settings) -> Store | None:
    """The store that EDU_ARCHIVE_URL names; None when it names none."""
    url = settings.archive_url
    if url is None:
        return None
    if "://" not in url:
        return Folder(Path(url).expanduser())
    if url.startswith("file://"):
        return Folder(Path(url.removeprefix("file://")))
    return Bucket(_objects(settings, url))


def _objects(settings: Settings, url: str) -> ObjectStore:
    from obstore.store import from_url

    options: dict[str, Any] = {}
    if url.startswith("s3://"):
        given = {
            "endpoint": settings.archive_endpoint,
            "region": settings.archive_region,
            "access_key_id": settings.archive_access_key,
            "secret_access_key": settings.archive_secret_key and settings.archive_secret_key.get_secret_value(),
            "virtual_hosted_style_request": False if settings.archive_endpoint else None,
        }
        options = {name: value for name, value in given.items() if value is not None}
    if (settings.archive_endpoint or "").startswith("http://"):
        options["client_options"] = {"allow_http": True}
    try:
        return from_url(url, retry_config={"max_retries": 3}, **options)
    except Exception as error:
        raise StartupError(f"EDU_ARCHIVE_URL cannot be used: {error}") from error


def _reaching(work: Any, path: str) -> Any:
    from obstore.exceptions import BaseError

    try:
        return work()
    except FileNotFoundError:
        raise NotFound(f"The archive has no file {path}.", path=path) from None
    except (BaseError, OSError) as error:
        raise Unavailable(f"The archive does not answer: {str(error).splitlines()[0][:300]}") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
