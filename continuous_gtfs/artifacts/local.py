"""A store in a local folder, made to be served as it stands by any static file server.

Here: how one machine's file system keeps the promises of ``Store``. An object is the file
``<root>/<key>``. What a file cannot say of itself (digest, content type) lies in a sidecar under
``<root>/.metadata/``, with the locks and the files that are still being written.

The rename of a finished, synced file onto its key is the one moment at which an object changes. The
sidecar is written before it and speaks of both generations, so a crash on either side of the rename leaves
an object with a sidecar that knows it. A file that somebody copied in by hand has no sidecar and is
digested when asked for.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import mimetypes
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from continuous_gtfs.artifacts.store import (
    ObjectInfo,
    ObjectNotFoundError,
    OtherBytesError,
    PreconditionFailedError,
    validate_key,
    validate_prefix,
)
from continuous_gtfs.errors import StoreError

_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FILE_MODE = 0o644
_FOLDER_MODE = 0o755


class LocalStore:
    """A ``Store`` in a folder; the folder is made by the first write.

    Files are readable by everybody whatever the umask, since the server that hands them out may run as
    another user. The root must lie on one file system.

    Args:
        root: The folder. A static server may serve it, but for ``.metadata``.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - Path.resolve() would follow links
        self._metadata = self.root / ".metadata"
        self._incoming = self._metadata / "incoming"
        self._has_swept = False

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    @property
    def is_remote(self) -> bool:
        return False

    def put_new(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> ObjectInfo:
        digest = hashlib.sha256(data).hexdigest()
        current = self.stat(key)
        if current is None:
            try:
                return self.replace(
                    key, data, if_generation=None, content_type=content_type, cache_control=cache_control
                )
            except PreconditionFailedError:
                current = self.stat(key)
        if current is None or current.sha256 != digest:
            raise OtherBytesError(
                f"{self._path(key)}: other bytes are stored there already and this object may not change "
                f"(stored {current.sha256 if current else 'and deleted meanwhile'}, new {digest}); "
                "a new content needs a new name"
            )
        return current

    def replace(
        self,
        key: str,
        data: bytes,
        *,
        if_generation: str | None,
        content_type: str,
        cache_control: str | None = None,
    ) -> ObjectInfo:
        path = self._path(key)
        facts = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "content_type": content_type,
            "cache_control": cache_control,
        }
        with _explained("write", path):
            if if_generation is None:
                # Before anything is written; it is looked at once more below, where nobody else can write.
                self._confirm_generation(path, None)
            self._sweep()
            with self._written(data) as (descriptor, incoming), self._locked(key), self.folders_locked():
                _make_folder(path.parent)
                before = self._confirm_generation(path, if_generation)
                found = _generation(before) if before else None
                after = _date(descriptor, later_than=before)
                known = self._read_sidecar(key)
                self._write_sidecar(
                    key,
                    {found: known[found] for found in (found,) if found in known} | {_generation(after): facts},
                )
                incoming.rename(path)
                _sync_folder(path.parent)
        return _info(key, after, facts)

    def read(self, key: str) -> bytes:
        path = self._path(key)
        with _explained("read", path):
            if self._leads_outside(path):
                raise ObjectNotFoundError(f"{path} leads out of the folder by a symbolic link; it is not an object")
            try:
                return path.read_bytes()
            except _NOT_THERE:
                raise ObjectNotFoundError(f"{path}: there is no such object") from None

    def read_with_generation(self, key: str) -> tuple[bytes, str] | None:
        path = self._path(key)
        with _explained("read", path):
            if self._leads_outside(path):
                return None
            try:
                # Of one open file: a rename in between gives its key to another.
                with path.open("rb") as file:
                    return file.read(), _generation(os.fstat(file.fileno()))
            except _NOT_THERE:
                return None

    def stat(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        with _explained("read", path):
            if self._leads_outside(path):
                return None
            seen = None
            while (status := _file_status(path)) is not None:
                facts = self._read_sidecar(key).get(_generation(status))
                if facts:
                    return _info(key, status, facts)
                if seen == _generation(status):
                    return self._examined(key)
                seen = _generation(status)
        return None

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _explained("delete", path):
            if _file_status(path) is None:
                return
            with self._locked(key):
                path.unlink(missing_ok=True)
                self._sidecar(key).unlink(missing_ok=True)
                # Removed as empty meanwhile: then there is nothing to sync.
                with suppress(*_NOT_THERE):
                    _sync_folder(path.parent)

    def list(self, prefix: str) -> Iterator[str]:
        folder = self.root / validate_prefix(prefix).rpartition("/")[0]
        keys: list[str] = []
        with _explained("list", folder):
            for parent, folders, names in os.walk(folder, onerror=_raise_unless_gone):
                folders[:] = [name for name in folders if not name.startswith(".")]
                keys += [
                    (Path(parent) / name).relative_to(self.root).as_posix()
                    for name in names
                    if not name.startswith(".")
                ]
        yield from sorted(key for key in keys if key.startswith(prefix))

    def _confirm_generation(self, path: Path, expected: str | None) -> os.stat_result | None:
        status = _file_status(path)
        found = _generation(status) if status else None
        if found != expected:
            raise PreconditionFailedError(
                f"{path} is at generation {found or 'none'}, not {expected or 'none'}: another writer was first"
            )
        return status

    def _path(self, key: str) -> Path:
        return self.root / validate_key(key)

    def _leads_outside(self, path: Path) -> bool:
        """Whether a link in the folder points elsewhere; the root itself may be a link."""
        return not os.path.realpath(path).startswith(os.path.join(os.path.realpath(self.root), ""))  # noqa: PTH118

    def _sidecar(self, key: str) -> Path:
        """No part of a key starts with a dot, so this is never the folder of another key's sidecar."""
        path = self._metadata / "objects" / key
        return path.with_name(f".{path.name}.json")

    def _read_sidecar(self, key: str) -> dict[str, dict[str, Any]]:
        """What is known by generation. A damaged sidecar knows nothing: the object itself is the truth."""
        try:
            known = json.loads(self._sidecar(key).read_bytes())
        except (*_NOT_THERE, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write_sidecar(self, key: str, known: dict[str, dict[str, Any]]) -> None:
        sidecar = self._sidecar(key)
        _make_folder(sidecar.parent)
        with self._written(json.dumps(known).encode(), is_synced=False) as (_, incoming):
            incoming.rename(sidecar)

    def _examined(self, key: str) -> ObjectInfo | None:
        """Digest a file that no sidecar knows, from one open file so that size and digest agree."""
        try:
            with self._path(key).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                status = os.fstat(file.fileno())
        except _NOT_THERE:
            return None
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        return _info(key, status, {"sha256": digest, "content_type": content_type, "cache_control": None})

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the key against other writers; the kernel lets go when the holder dies.

        flock belongs to the open file, so it also holds between threads of one process. Keys share 256 locks.
        """
        with self._lock(hashlib.sha256(key.encode()).hexdigest()[:2], fcntl.LOCK_EX):
            yield

    @contextmanager
    def folders_locked(self, *, for_removal: bool = False) -> Iterator[None]:
        """Hold the folders as they are: for any number of writers, or for the one who removes empty folders."""
        with self._lock("folders", fcntl.LOCK_EX if for_removal else fcntl.LOCK_SH):
            yield

    @contextmanager
    def _lock(self, name: str, kind: int) -> Iterator[None]:
        lock = self._metadata / "locks" / name
        _make_folder(lock.parent)
        descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _written(self, data: bytes, *, is_synced: bool = True) -> Iterator[tuple[int, Path]]:
        """A finished file beside the objects, for renaming; gone afterwards unless it was renamed."""
        _make_folder(self._incoming)
        incoming = self._incoming / uuid.uuid4().hex
        descriptor = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        try:
            # Held until it is renamed: the sign for _sweep in other processes that this file has an owner.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            os.fchmod(descriptor, _FILE_MODE)
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            if is_synced:
                os.fsync(descriptor)
            yield descriptor, incoming
        finally:
            incoming.unlink(missing_ok=True)
            os.close(descriptor)

    def _sweep(self) -> None:
        """Once: remove what writers that died left half written. A living writer holds a lock on its file."""
        if self._has_swept or not self._incoming.is_dir():
            return
        self._has_swept = True
        oldest_living = time.time() - 60  # a file younger than this may not have been locked yet
        for leftover in list(self._incoming.iterdir()):
            with suppress(FileNotFoundError, BlockingIOError):
                descriptor = os.open(leftover, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.fstat(descriptor).st_mtime < oldest_living:
                        leftover.unlink()
                finally:
                    os.close(descriptor)


def _file_status(path: Path) -> os.stat_result | None:
    try:
        status = path.stat()
    except _NOT_THERE:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _generation(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_ino:x}-{status.st_size:x}"


def _date(descriptor: int, *, later_than: os.stat_result | None) -> os.stat_result:
    """Give the new file a time after the old file's, whatever the clock did: no generation comes twice.

    The inode alone would not do, since file systems give a freed number to the next file.
    """
    moment = max(time.time_ns(), later_than.st_mtime_ns + 1_000 if later_than else 0)
    os.utime(descriptor, ns=(moment, moment))
    return os.fstat(descriptor)


def _info(key: str, status: os.stat_result, facts: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(key=key, size=status.st_size, generation=_generation(status), **facts)


def _make_folder(folder: Path) -> None:
    """Make a folder and what is above it, synced and open to readers whatever the umask."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(_FOLDER_MODE)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(error: OSError) -> None:
    """A folder that cannot be listed is not an empty one; one that is not there is."""
    if not isinstance(error, _NOT_THERE):
        raise error


@contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    """Turn the system's error into one that says what, where and what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NO_SPACE:
            advice = "free space there (or raise the quota or file size limit) and run again"
        elif error.errno in _NOT_ALLOWED:
            advice = f"give user {os.geteuid()} the right to {action} there, or choose another folder"
        else:
            advice = "look at that folder, then run again"
        raise StoreError(f"cannot {action} {path}: {reason}; {advice}. What was stored before is unchanged") from error
