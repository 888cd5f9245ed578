"""Files that a command names: feeds are read from them, and what was made is written as a whole or not at all."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from continuous_gtfs.errors import ConfigurationError, FeedStructureError, StoreError

# What JSON lets stand: control characters of one byte or two, marks that turn text around, separators of lines.
_OBEYED = re.compile(r"[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def read_feed(path: Path) -> bytes:
    """The zip at ``path``; of a folder, the zip of the files in it, in the order of their names.

    Hidden files and sub-folders are left out.

    Raises:
        ConfigurationError: There is nothing there, or it cannot be read.
    """
    if not path.is_dir():
        return read_file(path)
    from continuous_gtfs.gtfs.zip_writing import write_zip

    with named(path):
        try:
            files = sorted(child for child in path.iterdir() if child.is_file() and not child.name.startswith("."))
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        return write_zip((file.name, read_file(file)) for file in files)


def read_file(path: Path) -> bytes:
    """The bytes at ``path``.

    Raises:
        ConfigurationError: There is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"there is no {path}") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the path before what is said of a feed that cannot be read."""
    try:
        yield
    except FeedStructureError as error:
        raise FeedStructureError(f"{path}: {error}") from error


def check_writable(path: Path, option: str) -> None:
    """Refuse a file that could not be written, before the work and not after it.

    Raises:
        ConfigurationError: Its folder is not there or not open to this user.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"{option} {path}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(f"{option} {path}: it may not be written to")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in one moment: a reader sees the old bytes or the new ones, and a failure leaves the old.

    Raises:
        StoreError: It cannot be written (no space, say).
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # A pipe or a device, which must not be put a file in the place of.
            return
        target = path.resolve()
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        finally:
            with suppress(FileNotFoundError):
                unfinished.unlink()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def json_bytes(document: Any) -> bytes:
    """A JSON document for people and programs: indented, with a line end.

    Letters stand as they are; what a terminal would obey is written as an escape.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return (_OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n").encode()


def look_here() -> None:
    """Let a package that lies where the author stands be found by its name, as ``python -m`` would find it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
