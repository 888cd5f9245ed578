"""A store in a Cloud Storage bucket, or below a prefix of one.

Here: how Cloud Storage keeps the promises of ``Store``. What a writer may rely on: an object is replaced whole, a
read after a write sees it, a listing is complete, and ``ifGenerationMatch`` lets one of two writers win.

Each write carries an id of its own. A request that is sent again because its answer was lost finds the object moved,
by itself: the id tells that from another writer. So every write may be retried.

The client library is imported with the first call, and a client belongs to the process that made it: a forked run
must not share a connection with its parent.
"""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from continuous_gtfs.artifacts.store import (
    MAX_KEY_BYTES,
    ObjectInfo,
    ObjectNotFoundError,
    PreconditionFailedError,
    validate_key,
    validate_prefix,
)
from continuous_gtfs.errors import ConfigurationError, StoreError

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
GIVE_UP_AFTER_S = 60.0
"""How long one call is tried again; the last try may take ``ANSWER_TIMEOUT_S`` more."""

CHUNK_BYTES = 8 * 1024 * 1024
"""What is larger than this goes up in pieces, each retried by itself. A multiple of 256 KiB."""

_DIGEST = "sha256"
_WRITE_ID = "write-id"
_EMULATOR = "STORAGE_EMULATOR_HOST"
_UNCHANGED = "What was stored before is unchanged"

_clients: dict[tuple[int, str | None], Any] = {}
_making = threading.Lock()


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

    def put_new(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> ObjectInfo:
        try:
            return self.replace(key, data, if_generation=None, content_type=content_type, cache_control=cache_control)
        except PreconditionFailedError:
            current = self.stat(key)
        digest = hashlib.sha256(data).hexdigest()
        if current is None or current.sha256 != digest:
            raise StoreError(
                f"{self._url(key)}: other bytes are stored there already and this object may not change "
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
        return self._info(key, blob)

    def read(self, key: str) -> bytes:
        from google.api_core.exceptions import NotFound

        blob = self._blob(key)
        with self._explained("read", key):
            try:
                # Raw: as stored, whatever a person's upload said of its encoding. The library checks the checksum.
                data: bytes = blob.download_as_bytes(raw_download=True, **self._limits())
            except NotFound as error:
                self._confirm_bucket(error)
                raise ObjectNotFoundError(f"{self._url(key)}: there is no such object") from None
        return data

    def stat(self, key: str) -> ObjectInfo | None:
        with self._explained("read", key):
            blob = self._described(key)
            return None if blob is None else self._info(key, blob)

    def delete(self, key: str) -> None:
        from google.api_core.exceptions import NotFound, PreconditionFailed
        from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

        with self._explained("delete", key):
            try:
                self._blob(key).delete(timeout=(CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S), retry=None)
            except NotFound as error:
                self._confirm_bucket(error)
            except Exception as error:
                if not DEFAULT_RETRY._predicate(error):
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
            for blob in _client().list_blobs(
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
        return _client().bucket(self.bucket).blob(self.prefix + key)

    def _limits(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        return {
            "timeout": (CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S),
            "retry": DEFAULT_RETRY.with_timeout(self._give_up_after_s),
        }

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
        next(iter(_client().list_blobs(self.bucket, max_results=1, fields="items(name)", **self._limits())), None)

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

    @contextmanager
    def _explained(self, action: str, key: str) -> Iterator[None]:
        """Turn the library's error into one that says what, where and what to do."""
        from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse  # type: ignore[import-untyped]
        from requests.exceptions import RequestException

        where = f"cannot {action} {self._url(key)}"
        try:
            yield
        except NotFound as error:
            raise StoreError(
                f"{where}: there is no bucket {self.bucket!r}; make it, or mend the setting that names it. {_UNCHANGED}"
            ) from error
        except (Forbidden, Unauthorized) as error:
            raise StoreError(
                f"{where}: Cloud Storage does not allow it ({_reason(error)}); give the account of this process the "
                f"role roles/storage.objectUser on bucket {self.bucket!r} (objectViewer to read). {_UNCHANGED}"
            ) from error
        except DataCorruption as error:
            raise StoreError(
                f"{where}: the bytes changed on the way, their checksum is another; run again. {_UNCHANGED}"
            ) from error
        except (GoogleAPIError, GoogleAuthError, InvalidResponse, RequestException, OSError) as error:
            raise StoreError(
                f"{where}: {_reason(error)}; look at the network and at Cloud Storage's status page, then run again. "
                f"{_UNCHANGED}"
            ) from error


def _client() -> Any:
    """This process's client for the endpoint in force.

    Raises:
        ConfigurationError: There are no credentials.
    """
    name = os.getpid(), os.environ.get(_EMULATOR)
    client = _clients.get(name)
    if client is not None:
        return client
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage

    with _making:
        if name not in _clients:
            try:
                _clients[name] = storage.Client(project=None)
            except DefaultCredentialsError as error:
                raise ConfigurationError(
                    "no credentials for Cloud Storage are found; on Google Cloud give the machine or the workload a "
                    "service account, elsewhere set GOOGLE_APPLICATION_CREDENTIALS to a key file or run "
                    "`gcloud auth application-default login`"
                ) from error
    return _clients[name]


def _reason(error: Exception) -> str:
    """One line, without the request's address and what it carries."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]


def _is_key(text: str) -> bool:
    """Whether it is one of ours; the console makes objects for folders, whose names end in a slash."""
    try:
        validate_key(text)
    except ConfigurationError:
        return False
    return True
