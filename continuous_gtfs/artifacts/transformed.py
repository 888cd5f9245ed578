"""Transformed schedules: what the steps made of one feed version, kept until it is published and after.

transformed/<environment>/<version_id>.json     the record: rewritten when the version is run again
transformed/<environment>/<version_id>/<name>   reports on it: rewritten likewise
transformed/blobs/<aa>/<sha256>                 the bytes it refers to, stored before the record
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from continuous_gtfs.artifacts.store import ObjectNotFoundError, PreconditionFailedError, Store
from continuous_gtfs.errors import ArchiveCorruptError, PublicationConflictError


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformedFeed:
    """What a run made of a feed version.

    Attributes:
        environment: ``production`` or ``qa``.
        version_id: The input's.
        feed_digest: SHA-256 (hex) of the transformed zip.
        feed_bytes: Its length.
        zip_writer: What compressed it: another writer gives other bytes for the same content.
        index_digest: SHA-256 (hex) of the schedule index made from it.
        code_version: Hash over the steps.
        step_hashes: Step name to the hash of its source and parameters, in order.
        step_results: ``StepResult.to_dict()`` of each step, in order.
        run_id: The Dagster run.
        accepted_errors: By code, the validator's notices with which this version passed the gate before.
        validation: The validation gate's facts; None until the gate has judged these bytes.
        gates: By name of each other gate what it said of which bytes.
    """

    environment: str
    version_id: str
    feed_digest: str
    feed_bytes: int
    zip_writer: str
    index_digest: str
    code_version: str
    step_hashes: dict[str, str]
    step_results: list[dict[str, Any]]
    run_id: str
    accepted_errors: dict[str, int] = field(default_factory=dict)
    validation: dict[str, Any] | None = None
    gates: dict[str, dict[str, Any]] = field(default_factory=dict)


class TransformedFeeds:
    """Keeps transformed schedules in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save_bytes(self, data: bytes) -> str:
        """Stores ``data`` under its digest and gives the digest; storing it again is no error."""
        digest = hashlib.sha256(data).hexdigest()
        self._store.put_new(blob_key(digest), data, content_type="application/octet-stream")
        return digest

    def read_bytes(self, digest: str) -> bytes:
        """The bytes stored under ``digest``.

        Raises:
            ArchiveCorruptError: They are not there, or not those bytes any more.
        """
        try:
            data = self._store.read(blob_key(digest))
        except ObjectNotFoundError as error:
            raise ArchiveCorruptError(f"{blob_key(digest)} is missing: run the transform again") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise ArchiveCorruptError(f"{blob_key(digest)} has other bytes than its name says: run the transform again")
        return data

    def save(self, record: TransformedFeed) -> None:
        """Writes the record of a version, over an earlier one."""
        key = record_key(record.environment, record.version_id)
        self._rewrite(key, json.dumps(asdict(record), indent=1).encode(), "application/json")

    def save_report(self, environment: str, version_id: str, name: str, data: bytes, *, content_type: str) -> str:
        """Writes a report on a version, over an earlier one of that name, and gives its key."""
        key = f"transformed/{environment}/{version_id}/{name}"
        self._rewrite(key, data, content_type)
        return key

    def _rewrite(self, key: str, data: bytes, content_type: str) -> None:
        for _ in range(5):
            found = self._store.stat(key)
            try:
                self._store.replace(
                    key,
                    data,
                    if_generation=found.generation if found else None,
                    content_type=content_type,
                )
            except PreconditionFailedError:
                continue
            return
        raise PublicationConflictError(f"{key} was rewritten by another run at every attempt")

    def load(self, environment: str, version_id: str) -> TransformedFeed | None:
        """The record of a version, or None where it has not been transformed."""
        try:
            return TransformedFeed(**json.loads(self._store.read(record_key(environment, version_id))))
        except ObjectNotFoundError:
            return None


FOLDER = "transformed/"
BLOBS = f"{FOLDER}blobs/"


def blob_key(digest: str) -> str:
    return f"{BLOBS}{digest[:2]}/{digest}"


def record_key(environment: str, version_id: str) -> str:
    return f"{FOLDER}{environment}/{version_id}.json"
