"""A store in a Cloud Storage bucket, or below a prefix of one.

Here: how Cloud Storage keeps the promises of ``Store``. What a writer may rely on: an object is replaced whole, a
read after a write sees it, a listing is complete, and ``ifGenerationMatch`` lets one of two writers win.

Each write carries an id of its own. A request that is sent again because its answer was lost finds the object moved,
by itself: the id tells that from another writer. So every write may be retried. The answer to a write names the
checksum of what is stored, and that of a read the generation, so neither takes a second request.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from continuous_gtfs.artifacts.gcs_client import GIVE_UP_AFTER_S, again, client, damaged, explained, may_pass, once
from continuous_gtfs.artifacts.store import (
    MAX_KEY_BYTES,
    ObjectInfo,
    ObjectNotFoundError,
    OtherBytesError,
    PreconditionFailedError,
    validate_key,
    validate_prefix,
)
from continuous_gtfs.errors import ConfigurationError

CHUNK_BYTES = 8 * 1024 * 1024
"""What is larger than this goes up in pieces, each retried by itself. A multiple of 256 KiB."""

_DIGEST = "sha256"
_WRITE_ID = "write-id"
_MAX_LOOKS = 5


class GcsStore:
    """A ``Store`` in a bucket. Nothing is asked before the first call.

    Args:
        bucket: Its name. The bucket must be there; making one takes rights that no process here needs.
        prefix: A folder in it, without slashes around it; empty for the whole bucket.
        give_up_after_s: How long a call that fails in passing is tried again.
    """

    def __init__(self, bucket: str, prefix: str = "", *, give_up_after_s: float = GIVE_UP_AFTER_S) -> None:
        self.bucket = bucket
        self.prefix = f"{validate_key(prefix)}/" if prefix else ""
        self._give_up_after_s = give_up_after_s

    def __repr__(self) -> str:
        return f"GcsStore({self._url('')!r})"

    @property
    def is_remote(self) -> bool:
        return True

    def put_new(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> ObjectInfo:
        try:
            return self.replace(key, data, if_generation=None, content_type=content_type, cache_control=cache_control)
        except PreconditionFailedError:
            pass
        with self._explained("read", key):
            found = self._described(key)
            current = None if found is None else self._info(key, found)
        digest = hashlib.sha256(data).hexdigest()
        if current is None or current.sha256 != digest:
            raise OtherBytesError(
                f"{self._url(key)}: other bytes are stored there already and this object may not change "
                f"(stored {current.sha256 if current else 'and deleted meanwhile'}, new {digest}); "
                "a new content needs a new name"
            )
        self._confirm_stored(key, found, data)
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
        from google.api_core.exceptions import PreconditionFailed

        blob = self._blob(key)
        write_id = uuid.uuid4().hex
        blob.chunk_size = CHUNK_BYTES
        blob.metadata = {_DIGEST: hashlib.sha256(data).hexdigest(), _WRITE_ID: write_id}
        blob.custom_time = datetime.now(UTC)
        # Never a content encoding: a server in between would unpack the bytes that a digest stands for.
        if cache_control is not None:
            blob.cache_control = cache_control
        with self._explained("write", key):
            try:
                blob.upload_from_string(
                    data,
                    content_type=content_type,
                    if_generation_match=int(if_generation or 0),
                    **self._limits(),
                )
            except PreconditionFailed:
                found = self._described(key)
                if found is None or (found.metadata or {}).get(_WRITE_ID) != write_id:
                    raise PreconditionFailedError(
                        f"{self._url(key)} is at generation {found.generation if found else 'none'}, "
                        f"not {if_generation or 'none'}: another writer was first"
                    ) from None
                blob = found
            self._confirm_stored(key, blob, data)
            return self._info(key, blob)

    def read(self, key: str) -> bytes:
        found = self.read_with_generation(key)
        if found is None:
            raise ObjectNotFoundError(f"{self._url(key)}: there is no such object")
        return found[0]

    def read_with_generation(self, key: str) -> tuple[bytes, str] | None:
        from google.api_core.exceptions import NotFound

        with self._explained("read", key):
            for look in range(_MAX_LOOKS):
                blob = self._blob(key)
                try:
                    # Raw: as stored, whatever a person's upload said of its encoding.
                    data: bytes = blob.download_as_bytes(raw_download=True, **self._limits())
                except NotFound as error:
                    # A body that broke off is asked for on at its generation, which may have been replaced meanwhile.
                    if "generation=" in str(error) and look < _MAX_LOOKS - 1:
                        continue
                    self._confirm_bucket(error)
                    return None
                # The library looks at checksums itself, but not where a body came in two parts.
                if blob.crc32c is not None and blob.crc32c != _checksum(data):
                    raise damaged(f"cannot read {self._url(key)}")
                return data, str(blob.generation)
        return None

    def stat(self, key: str) -> ObjectInfo | None:
        with self._explained("read", key):
            blob = self._described(key)
            return None if blob is None else self._info(key, blob)

    def delete(self, key: str) -> None:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with self._explained("delete", key):
            try:
                self._blob(key).delete(**once())
            except NotFound as error:
                self._confirm_bucket(error)
            except Exception as error:
                if not may_pass(error):
                    raise
                # It may be done: what is tried again must not take what somebody has put there since.
                found = self._described(key)
                if found is None:
                    return
                try:
                    found.delete(if_generation_match=found.generation, **self._limits())
                except (NotFound, PreconditionFailed):
                    return

    def list(self, prefix: str) -> Iterator[str]:
        start = self.prefix + validate_prefix(prefix)
        with self._explained("list", prefix):
            for blob in client().list_blobs(
                self.bucket, prefix=start, fields="items(name),nextPageToken", **self._limits()
            ):
                key = blob.name.removeprefix(self.prefix)
                if _is_key(key):
                    yield key

    def _url(self, key: str) -> str:
        return f"gs://{self.bucket}/{self.prefix}{key}"

    def _blob(self, key: str) -> Any:
        validate_key(key)
        if len((self.prefix + key).encode()) > MAX_KEY_BYTES:
            raise ConfigurationError(
                f"object key {key!r} is longer than {MAX_KEY_BYTES} bytes below gs://{self.bucket}/"
            )
        return client().bucket(self.bucket).blob(self.prefix + key)

    def _limits(self) -> dict[str, Any]:
        return again(self._give_up_after_s)

    def _described(self, key: str) -> Any | None:
        from google.api_core.exceptions import NotFound

        blob = self._blob(key)
        try:
            blob.reload(**self._limits())
        except NotFound as error:
            self._confirm_bucket(error)
            return None
        return blob

    def _confirm_bucket(self, error: Any) -> None:
        """Cloud Storage answers 404 for a missing bucket too, which must not read as an empty one."""
        if "no such object" in str(error).lower():
            return
        # A listing asks for no right on the bucket itself, as a look at it would.
        next(iter(client().list_blobs(self.bucket, max_results=1, fields="items(name)", **self._limits())), None)

    def _confirm_stored(self, key: str, blob: Any, data: bytes) -> None:
        if blob.crc32c != _checksum(data):
            raise OtherBytesError(
                f"{self._url(key)}: Cloud Storage has other bytes than were sent (their checksum is {blob.crc32c}); "
                "delete that object, then run again"
            )

    def _info(self, key: str, blob: Any) -> ObjectInfo:
        digest = (blob.metadata or {}).get(_DIGEST)
        if digest is None:
            # Put there by a person. The generation keeps digest and description together.
            data = blob.download_as_bytes(raw_download=True, if_generation_match=blob.generation, **self._limits())
            digest = hashlib.sha256(data).hexdigest()
        return ObjectInfo(
            key=key,
            size=blob.size,
            sha256=digest,
            generation=str(blob.generation),
            content_type=blob.content_type or "application/octet-stream",
            cache_control=blob.cache_control or None,
        )

    def _explained(self, action: str, key: str) -> AbstractContextManager[None]:
        return explained(action, self._url(key), self.bucket)


def _checksum(data: bytes) -> str:
    """As Cloud Storage writes it; it has one of every object."""
    import google_crc32c

    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def _is_key(text: str) -> bool:
    """Whether it is one of ours; the console makes objects for folders, whose names end in a slash."""
    try:
        validate_key(text)
    except ConfigurationError:
        return False
    return True
