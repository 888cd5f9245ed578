"""Opens the source of secrets that the settings name, for feeds, alerts and whatever else needs one."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.secrets import EnvironmentSecrets, SecretSource
from continuous_gtfs.pims.secrets_gcp import GoogleSecrets
from continuous_gtfs.pims.templates import render_url

SETTING = "CONTINUOUS_GTFS_SECRETS"
EMULATOR_SETTING = "SECRET_MANAGER_EMULATOR_HOST"
_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]{0,62}")
_open: dict[tuple[str, str | None], GoogleSecrets] = {}
_lock = threading.Lock()


def open_secrets(environ: Mapping[str, str]) -> SecretSource:
    """Secret Manager where ``CONTINUOUS_GTFS_SECRETS=gcp:PROJECT``, else the environment.

    One object serves a project for the life of the process, so that its short memory is shared by all ticks. A service
    that stands in for Secret Manager, for tests, is named in ``SECRET_MANAGER_EMULATOR_HOST`` with its scheme, and is
    asked without credentials.

    Raises:
        ConfigurationError: The setting is neither ``env`` nor ``gcp:PROJECT``.
    """
    value = environ.get(SETTING, "").strip()
    if value in ("", "env"):
        return EnvironmentSecrets(environ)
    kind, _, project = value.partition(":")
    if kind != "gcp" or not _PROJECT.fullmatch(project):
        raise ConfigurationError(f"{SETTING} is {value!r}: it must be env or gcp:PROJECT")
    endpoint = environ.get(EMULATOR_SETTING, "").strip() or None
    with _lock:
        if (project, endpoint) not in _open:
            _open[project, endpoint] = GoogleSecrets(project, fallback=EnvironmentSecrets(environ), endpoint=endpoint)
        return _open[project, endpoint]


def resolve_url(setting: str, environ: Mapping[str, str]) -> str | None:
    """The URL that the setting of this name holds, with its ``${secret:NAME}`` resolved; None where it is blank.

    A URL that is one secret as a whole is taken as it is; in any other a secret is percent-encoded. Never print it.

    Raises:
        ConfigurationError: A secret is missing, or may not be read.
        SecretsUnavailableError: Secret Manager gave no answer.
    """
    template = environ.get(setting, "").strip()
    return render_url(template, config=environ, secrets=open_secrets(environ)) if template else None
