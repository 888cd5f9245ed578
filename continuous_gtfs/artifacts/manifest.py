"""The manifest of a publication: what is live, what it was made from, what was live before. Data only.

Here: the shape of ``<name>.manifest.json`` and where a publication's objects lie. Not here: the order in
which they are written (``publication``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from continuous_gtfs.artifacts.store import validate_key
from continuous_gtfs.errors import ArchiveCorruptError, ConfigurationError

Body = bytes
OrderPart = int | float | str
Order = tuple[OrderPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedObject:
    """One object of one publication.

    Attributes:
        extension: ``zip``, ``pb``, ``json``.
        path: The stable key, whose bytes change with each publication.
        version_path: The key that holds these bytes for as long as the manifest lists them.
        sha256: Hex digest of the bytes.
        bytes: Their number.
        content_type: As served.
    """

    extension: str
    path: str
    version_path: str
    sha256: str
    bytes: int
    content_type: str

    @classmethod
    def of(cls, name: str, label: str, extension: str, body: Body, content_type: str) -> PublishedObject:
        return cls(
            extension=extension,
            path=stable_key(name, extension),
            version_path=version_key(name, label, extension),
            sha256=hashlib.sha256(body).hexdigest(),
            bytes=len(body),
            content_type=content_type,
        )

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What was live at one time: a label, its place in the order, its objects."""

    label: str
    order: Order
    published_at: datetime
    objects: tuple[PublishedObject, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "order": list(self.order),
            "published_at": self.published_at.isoformat(),
            "objects": [item.to_dict() for item in self.objects],
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Release:
        return cls(
            label=fields["label"],
            order=normalized_order(fields["order"]),
            published_at=datetime.fromisoformat(fields["published_at"]),
            objects=tuple(PublishedObject(**item) for item in fields["objects"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The state of one publication. Its object in the store is the pointer that decides what is live.

    Attributes:
        name: ``schedule/production/gtfs``.
        current: What is live.
        facts: What the publisher was told about it: input versions, code version, step hashes, run id.
        previous: What was live before, newest first; their version objects are still there.
        expired: What fell off ``previous``; the next publication deletes its version objects. They are
            kept that long for a reader that holds the manifest before this one.
        rolled_back_from: After a rollback, the newest order that it went back from: nothing up to it goes
            live again of itself, so a late retry does not undo the operator's decision.
    """

    name: str
    current: Release
    facts: Mapping[str, Any] = field(default_factory=dict)
    previous: tuple[Release, ...] = ()
    expired: tuple[Release, ...] = ()
    rolled_back_from: Order | None = None

    @property
    def label(self) -> str:
        return self.current.label

    @property
    def order(self) -> Order:
        return self.current.order

    @property
    def published_at(self) -> datetime:
        return self.current.published_at

    @property
    def objects(self) -> tuple[PublishedObject, ...]:
        return self.current.objects

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            **self.current.to_dict(),
            "facts": dict(self.facts),
            "previous": [release.to_dict() for release in self.previous],
            "expired": [release.to_dict() for release in self.expired],
            "rolled_back_from": None if self.rolled_back_from is None else list(self.rolled_back_from),
        }

    def to_json(self) -> bytes:
        """The stored form.

        Raises:
            ConfigurationError: A fact has no JSON form.
        """
        try:
            return json.dumps(self.to_dict(), indent=1, allow_nan=False).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"publication {self.name}: a fact has no JSON form: {error}") from error

    @classmethod
    def from_json(cls, name: str, data: bytes) -> Manifest:
        """Read a stored manifest.

        Raises:
            ArchiveCorruptError: It is not one. What is live is then unknown, so nothing may be published
                over it until a person has looked.
        """
        try:
            fields = json.loads(data)
            barrier = fields["rolled_back_from"]
            return cls(
                name=fields["name"],
                current=Release.from_dict(fields),
                facts=fields["facts"],
                previous=tuple(map(Release.from_dict, fields["previous"])),
                expired=tuple(map(Release.from_dict, fields["expired"])),
                rolled_back_from=None if barrier is None else normalized_order(barrier),
            )
        except (ValueError, TypeError, KeyError, AttributeError, ConfigurationError) as error:
            raise ArchiveCorruptError(
                f"{manifest_key(name)} is not a manifest ({error!r}); restore it, or delete it and publish again"
            ) from error


def manifest_key(name: str) -> str:
    return validate_key(f"{name}.manifest.json")


def stable_key(name: str, extension: str) -> str:
    return validate_key(f"{name}.{_single_part(extension, 'extension')}")


def version_key(name: str, label: str, extension: str) -> str:
    folder, _, base = name.rpartition("/")
    key = f"versions/{base}/{_single_part(label, 'label')}.{_single_part(extension, 'extension')}"
    return validate_key(f"{folder}/{key}" if folder else key)


def normalized_order(order: Sequence[OrderPart] | OrderPart) -> Order:
    """An order as a tuple; a single text or number stands for a tuple of one.

    Raises:
        ConfigurationError: A part is neither number nor text, so that two orders could not be compared.
    """
    parts = (order,) if isinstance(order, int | float | str) else tuple(order)
    for part in parts:
        # NaN is before nothing and after nothing: with it, "older" would have no meaning.
        if isinstance(part, bool) or not isinstance(part, int | float | str) or part != part:
            raise ConfigurationError(f"publication order {parts!r}: {part!r} is neither a number nor text")
    if not parts:
        raise ConfigurationError("a publication order needs at least one part")
    return parts


def is_older(order: Order, than: Order) -> bool:
    """Whether ``order`` comes before ``than``.

    Raises:
        ConfigurationError: They are of different kinds, as after a change of what the order is made of.
    """
    try:
        return order < than
    except TypeError as error:
        raise ConfigurationError(
            f"publication orders {list(order)} and {list(than)} cannot be compared; "
            "if what the order is made of has changed, publish once with force_older"
        ) from error


def _single_part(text: str, what: str) -> str:
    if not text or "/" in text:
        raise ConfigurationError(f"{what} {text!r} must be one part of a path: not empty, no '/'")
    return text
