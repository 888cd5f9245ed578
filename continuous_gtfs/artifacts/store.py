"""What a place for objects must do: the ``Store`` protocol, its key rules and its errors.

Here: what every backend promises. Not here: which backend a URL means (``opening``), how a backend keeps the promise
(``local``), and what is kept in it (``archive``, ``publication``).

Two promises carry everything above: an object is replaced whole (a reader sees the old bytes or the new
ones, never a part), and a replacement names the generation it replaces, so that of two writers that saw the
same state one is told that it lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from continuous_gtfs.errors import ConfigurationError, StoreError

MAX_KEY_BYTES = 1024
"""Cloud Storage's limit for an object name."""

MAX_KEY_PART_BYTES = 240
"""A file name's limit of 255 bytes, less what a backend adds around it."""


class ObjectNotFoundError(StoreError):
    """There is no object under this key."""


class PreconditionFailedError(StoreError):
    """The object is no longer at the generation the writer named: another writer moved it first."""


class OtherBytesError(StoreError):
    """An object that may never change is to be stored, and other bytes are there under its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows of one object without reading it.

    Attributes:
        key: Where it is.
        size: Bytes.
        sha256: Hex digest as taken when the object was written.
        generation: Names this state of this object. Opaque: compare for equality, never for order.
        content_type: For the server that hands the object out.
        cache_control: The same; None leaves it to the server.
    """

    key: str
    size: int
    sha256: str
    generation: str
    content_type: str
    cache_control: str | None = None


class Store(Protocol):
    """Objects under keys. Safe for use from several threads and several processes at once.

    Every method raises ``StoreError`` where the store itself fails (no space, no permission, no network),
    with the object that was there before still whole, and ``ConfigurationError`` for a key that
    ``validate_key`` refuses.

    Attributes:
        is_remote: Whether each call is a request to a server. Then calls that do not depend on each other are worth
            making at the same time (``together``), and what was written need not be read back: the server says in its
            answer which bytes it has, and a write raises ``StoreError`` where they are others.
    """

    @property
    def is_remote(self) -> bool: ...

    def put_new(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> ObjectInfo:
        """Create an object that never changes again.

        Finding the same bytes there is success, so a rerun after a crash may repeat the write.

        Raises:
            OtherBytesError: Other bytes are there.
        """
        ...

    def replace(
        self,
        key: str,
        data: bytes,
        *,
        if_generation: str | None,
        content_type: str,
        cache_control: str | None = None,
    ) -> ObjectInfo:
        """Put ``data`` in the place of the generation named; None: only where nothing is.

        Replacing bytes by the same bytes still gives a new generation, which is what shuts out a writer
        that holds the old one.

        Raises:
            PreconditionFailedError: The object is at another generation.
        """
        ...

    def read(self, key: str) -> bytes:
        """The bytes of one object.

        Raises:
            ObjectNotFoundError: There is none.
        """
        ...

    def read_with_generation(self, key: str) -> tuple[bytes, str] | None:
        """The bytes of one object and the generation they are, by one look; None where there is none."""
        ...

    def stat(self, key: str) -> ObjectInfo | None:
        """What is known of an object; None where there is none."""
        ...

    def delete(self, key: str) -> None:
        """Make sure that there is no such object; that there was none is no error."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that start with ``prefix`` (text, not a folder: ``a/b`` gives ``a/bc``), sorted."""
        ...


def validate_key(key: str) -> str:
    """The key itself, if it can name an object in every backend and cannot leave the store's root.

    Raises:
        ConfigurationError: Keys are built from what an agency declares: a bad one is a declaration to mend.
    """
    offence = _offence(key)
    if offence:
        raise ConfigurationError(
            f"object key {key!r} {offence}; a key is parts joined by '/', none of them empty or starting with '.'"
        )
    return key


def validate_prefix(prefix: str) -> str:
    """The prefix itself, if some valid key could start with it; the empty prefix means all."""
    if prefix:
        validate_key(prefix.removesuffix("/"))
    return prefix


def _offence(key: str) -> str | None:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if not key:
        return "is empty"
    if len(encoded) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    if "\\" in key:
        return "holds a backslash"
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in key):
        return "holds a control character"
    parts = key.split("/")
    if "" in parts:
        return "is absolute or has an empty part"
    if any(part.startswith(".") for part in parts):
        return "has a part that starts with '.'"
    if any(len(part.encode()) > MAX_KEY_PART_BYTES for part in parts):
        return f"has a part longer than {MAX_KEY_PART_BYTES} bytes"
    return None
