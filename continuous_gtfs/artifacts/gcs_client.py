"""This process's client of Cloud Storage: making it, how long a call is tried, and what is said when it fails.

Not here: what a store does with it (``gcs``). The client library is imported with the first call, and a client belongs
to the process that made it: a forked run must not share a connection with its parent.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from continuous_gtfs.errors import ConfigurationError, StoreError

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
GIVE_UP_AFTER_S = 60.0
"""How long one call is tried again; the last try may take ``ANSWER_TIMEOUT_S`` more."""

_EMULATOR = "STORAGE_EMULATOR_HOST"
# The library would ask for the bucket's description, once a process, to name its place in traces.
_NO_DESCRIPTION = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
_UNCHANGED = "What was stored before is unchanged"

_ADDRESS = re.compile(r"(?:[A-Z]+ )?https?://\S+")

_clients: dict[tuple[int, str | None], Any] = {}
_making = threading.Lock()


def client() -> Any:
    """This process's client for the endpoint in force.

    Raises:
        ConfigurationError: There are no credentials.
    """
    name = os.getpid(), os.environ.get(_EMULATOR)
    known = _clients.get(name)
    if known is not None:
        return known
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage

    with _making:
        if name not in _clients:
            os.environ.setdefault(_NO_DESCRIPTION, "true")
            try:
                _clients[name] = storage.Client(project=None)
            except DefaultCredentialsError as error:
                raise ConfigurationError(
                    "no credentials for Cloud Storage are found; on Google Cloud give the machine or the workload a "
                    "service account, elsewhere set GOOGLE_APPLICATION_CREDENTIALS to a key file or run "
                    "`gcloud auth application-default login`"
                ) from error
    return _clients[name]


def preload() -> None:
    """Import the client library, for a process whose forks will need it: a fifth of a second of each otherwise."""
    for name in ("google.auth.transport.requests", "google.cloud.storage.retry", "google_crc32c"):
        importlib.import_module(name)


def once() -> dict[str, Any]:
    """Limits of a call that is tried a single time."""
    return {"timeout": (CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S), "retry": None}


def again(give_up_after_s: float) -> dict[str, Any]:
    """Limits of a call that is tried again while what fails may pass, for so many seconds."""
    from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

    return {
        "timeout": (CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S),
        "retry": DEFAULT_RETRY.with_timeout(give_up_after_s),
    }


def may_pass(error: Exception) -> bool:
    """Whether the library would try again after this error."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return bool(DEFAULT_RETRY._predicate(error))


@contextmanager
def explained(action: str, url: str, bucket: str) -> Iterator[None]:
    """Turn the library's error into one that says what, where and what to do."""
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
    from google.auth.exceptions import GoogleAuthError, InvalidOperation, RefreshError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse  # type: ignore[import-untyped]
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    where = f"cannot {action} {url}"
    try:
        yield
    except NotFound as error:
        raise StoreError(
            f"{where}: there is no bucket {bucket!r}; make it, or mend the setting that names it. {_UNCHANGED}"
        ) from error
    except (Unauthorized, RefreshError, InvalidOperation) as error:
        raise StoreError(
            f"{where}: Cloud Storage does not know who asks ({_reason(error)}); renew the credentials of this process: "
            f"its service account, or the key file that GOOGLE_APPLICATION_CREDENTIALS names. {_UNCHANGED}"
        ) from error
    except Forbidden as error:
        raise StoreError(
            f"{where}: Cloud Storage does not allow it ({_reason(error)}); give the account of this process the "
            f"role roles/storage.objectUser on bucket {bucket!r} (objectViewer to read). {_UNCHANGED}"
        ) from error
    except DataCorruption as error:
        raise damaged(where) from error
    except (GoogleAPIError, GoogleAuthError, InvalidResponse, RequestException, HTTPError, OSError) as error:
        raise StoreError(
            f"{where}: {_reason(error)}; look at the network and at Cloud Storage's status page, then run again. "
            f"{_UNCHANGED}"
        ) from error


def damaged(where: str) -> StoreError:
    return StoreError(f"{where}: the bytes changed on the way, their checksum is another; run again. {_UNCHANGED}")


def _reason(error: Exception) -> str:
    """One line, without the request's address: that of an upload in pieces lets whoever has it go on with it."""
    text = str(getattr(error, "message", None) or error or type(error).__name__)
    response = getattr(error, "response", None)
    if response is not None:
        try:
            text = f"{response.status_code} {response.json()['error']['message']}"
        except (ValueError, KeyError, TypeError, RuntimeError):
            # Of a server in between, or of a body that was read already.
            text = f"{response.status_code} {response.reason}"
    if (last := getattr(error, "cause", None)) is not None:
        # It was tried for as long as it may be: what counts is what the last try said.
        text = f"{text.removesuffix('.')}, and the last try said: {_reason(last)}"
    return " ".join(_ADDRESS.sub("", text).split())[:300]
