"""Secrets from Google Secret Manager, remembered for a short time. The library is imported when one is asked for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from continuous_gtfs.errors import ConfigurationError, SecretsUnavailableError
from continuous_gtfs.pims.secrets import LATEST, SecretSource

CACHED_S = 60.0
# A service that gave no answer is asked again after this time, in seconds; until then the last value serves.
_AFTER_FAILURE_S = 10.0


class _NoSuchSecretError(Exception):
    """Secret Manager has no secret of that name, or no such version."""


@dataclass(slots=True)
class _Known:
    """One version's value, or that there is none (``value`` is None); times are of the monotonic clock."""

    value: str | None
    read_at: float
    ask_at: float


class GoogleSecrets:
    """``projects/<project>/secrets/<name>/versions/<version>``; safe to share between threads and forks.

    What Secret Manager does not have is looked for in ``fallback``, unless a version is pinned. *May not read* and
    *no answer* are not *has none*: they are errors, or, where there is no answer, the last value for ``stale_s``.

    Args:
        project: The Google Cloud project's id.
        fallback: Usually the environment.
        endpoint: Another service that speaks the REST API, with its scheme; asked without credentials.
        cached_s: How long a value serves before it is read again.
        stale_s: How long it serves at most while Secret Manager gives no answer.
        deadline_s: For one read, credentials included.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        project: str,
        *,
        fallback: SecretSource,
        endpoint: str | None = None,
        cached_s: float = CACHED_S,
        stale_s: float = 3600.0,
        deadline_s: float = 4.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project = project
        self._fallback = fallback
        self._endpoint = endpoint
        self._cached_s, self._stale_s, self._deadline_s = cached_s, stale_s, deadline_s
        self._clock = clock
        self._process: int | None = None
        self._client: Any = None
        self._known: dict[tuple[str, str], _Known] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"GoogleSecrets({self._project!r})"

    def get(self, name: str, version: str = LATEST) -> str:
        """The value of a secret's version, without the line break that it often ends in.

        Raises:
            ConfigurationError: There is none, it may not be read, it is disabled, blank or no text.
            SecretsUnavailableError: Secret Manager gave no answer, and no value is at hand that is recent enough.
        """
        with self._locked():
            value = self._value(name, version)
        if value is not None:
            return value
        if version != LATEST:
            raise ConfigurationError(f"{self._where(name)} has no version {version}: add it, or name another one")
        try:
            return self._fallback.get(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._where(name)} does not exist, and {error}") from error

    def reject(self, name: str, version: str, value: str) -> None:
        """The vendor refuses ``value``: read the secret again when it is asked for, but for one read since."""
        with self._locked():
            known = self._known.get((name, version))
            if known is not None and known.value in (value, None):
                known.ask_at = self._clock()

    def _locked(self) -> threading.Lock:
        """The lock of this process: a fork may have copied it held, and connections do not survive one."""
        if self._process != os.getpid():
            self._process, self._client, self._lock = os.getpid(), None, threading.Lock()
        return self._lock

    def _value(self, name: str, version: str) -> str | None:
        known, now = self._known.get((name, version)), self._clock()
        if known is not None and now < known.ask_at:
            return known.value
        try:
            value = self._read(name, version)
        except _NoSuchSecretError:
            value = None
        except SecretsUnavailableError:
            if known is None or now - known.read_at > self._stale_s:
                raise
            known.ask_at = self._clock() + _AFTER_FAILURE_S
            return known.value
        now = self._clock()
        self._known[name, version] = _Known(value, now, now + self._cached_s)
        return value

    def _read(self, name: str, version: str) -> str:
        """Reads within the deadline, in a thread of its own: the library's timeouts do not bound the login."""
        ended: list[tuple[str | None, Exception | None]] = []

        def read() -> None:
            try:
                ended.append((self._access(name, version), None))
            except Exception as error:  # handed to the caller below
                ended.append((None, error))

        thread = threading.Thread(target=read, name="secret-manager", daemon=True)
        thread.start()
        thread.join(self._deadline_s)
        if not ended:
            raise SecretsUnavailableError(f"{self._where(name)}: no answer in {self._deadline_s:g} s")
        value, error = ended[0]
        if error is not None:
            raise self._judged(error, name, version) from None
        if not value:
            raise ConfigurationError(f"{self._where(name)}: version {version} is blank or no text")
        return value

    def _access(self, name: str, version: str) -> str | None:
        path = f"projects/{self._project}/secrets/{name}/versions/{version}"
        client = self._client or self._new_client()
        response = client.access_secret_version(name=path, retry=None, timeout=self._deadline_s)
        try:
            return str(response.payload.data.decode()).strip()
        except UnicodeDecodeError:
            return None

    def _new_client(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import secretmanager_v1

        # Not gRPC: its channels do not survive the forks that realtime runs are.
        if self._endpoint is None:
            self._client = secretmanager_v1.SecretManagerServiceClient(transport="rest")
        else:
            scheme, _, host = self._endpoint.partition("://")
            transport = secretmanager_v1.SecretManagerServiceClient.get_transport_class("rest")
            self._client = secretmanager_v1.SecretManagerServiceClient(
                transport=transport(host=host, url_scheme=scheme, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
            )
        return self._client

    def _judged(self, error: Exception, name: str, version: str) -> Exception:
        """What the library raised, in words that hold nothing of the answer."""
        from google.api_core import exceptions
        from google.auth.exceptions import DefaultCredentialsError

        where = self._where(name)
        if isinstance(error, exceptions.NotFound):
            return _NoSuchSecretError()
        if isinstance(error, (exceptions.Forbidden, exceptions.Unauthorized)):
            return ConfigurationError(
                f"{where} may not be read ({error.code}): give the service account the role "
                "roles/secretmanager.secretAccessor on it"
            )
        if isinstance(error, DefaultCredentialsError):
            return ConfigurationError(f"{where}: no Google credentials found; see Application Default Credentials")
        if isinstance(error, exceptions.ClientError) and not isinstance(error, exceptions.TooManyRequests):
            return ConfigurationError(
                f"{where}: version {version} cannot be read ({error.code}); it may be disabled or destroyed"
            )
        return SecretsUnavailableError(f"{where}: no answer ({type(error).__name__})")

    def _where(self, name: str) -> str:
        return f"the secret {name} of Secret Manager in project {self._project}"
