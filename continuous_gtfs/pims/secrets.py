"""Where a secret's value comes from, and how a text is cleaned of one. Values only pass through."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol
from urllib.parse import quote, quote_plus

from continuous_gtfs.errors import ConfigurationError

REDACTED = "[redacted]"
LATEST = "latest"
# A shorter value may stand in a feed by chance.
_TELLING_CHARACTERS = 16


class SecretSource(Protocol):
    """Resolves a secret by name at the moment it is needed."""

    def get(self, name: str, version: str = LATEST) -> str:
        """The value of the secret ``name``.

        Raises:
            ConfigurationError: There is no such secret, or it is blank; the message names it.
            SecretsUnavailableError: It could not be found out.
        """

    def reject(self, name: str, version: str, value: str) -> None:
        """Whoever was shown ``value`` refused it: a remembered one is not to be given out again unread."""


class EnvironmentSecrets:
    """Secrets from environment variables; the mapping is read at each ``get``, so a rotated value is seen.

    Args:
        environ: Variable name to value, usually ``os.environ``; kept by reference and never printed.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __repr__(self) -> str:
        return "EnvironmentSecrets()"

    def get(self, name: str, version: str = LATEST) -> str:
        """The variable's value, without the line break that a value read from a file often ends in.

        An environment has one version of everything, which stands for a pinned one too.
        """
        value = self._environ.get(name, "").strip()
        if not value:
            raise ConfigurationError(f"the secret {name} is not set: set the environment variable {name}")
        return value

    def reject(self, name: str, version: str, value: str) -> None:
        """Nothing is remembered here."""


class RememberingSecrets:
    """Passes on another source's secrets and remembers the values, so that a text can be cleaned of them.

    One is made for one request and dropped with it.
    """

    def __init__(self, source: SecretSource) -> None:
        self._source = source
        self._given: dict[tuple[str, str], str] = {}

    def __repr__(self) -> str:
        return "RememberingSecrets()"

    def get(self, name: str, version: str = LATEST) -> str:
        value = self._source.get(name, version)
        self._given[name, version] = value
        return value

    def reject(self, name: str, version: str, value: str) -> None:
        self._source.reject(name, version, value)

    def reject_all(self) -> None:
        """The vendor refused what it was shown: every value that this object has given out is rejected."""
        for (name, version), value in self._given.items():
            self._source.reject(name, version, value)

    def are_rotated(self) -> bool:
        """Whether one of the secrets that this object has given out has another value by now."""
        return any(self._source.get(name, version) != value for (name, version), value in self._given.items())

    def redact(self, text: str) -> str:
        """``text`` without any value that this object has given out."""
        return redact(text, self._given.values())

    def are_in(self, body: bytes) -> bool:
        """Whether ``body`` repeats a value that this object has given out; a short one may be there by chance."""
        return any(len(value) >= _TELLING_CHARACTERS and value.encode() in body for value in self._given.values())


def redact(text: str, values: Iterable[str]) -> str:
    """``text`` with every one of ``values`` replaced, in the forms a URL or base64 may give it too.

    Whatever the case of its letters: a host name is written in small ones. The longest goes first: a value that
    contains another one would otherwise leave its tail behind.
    """
    forms = {form for value in values if value for form in _forms(value)}
    if not forms:
        return text
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.sub("|".join(map(re.escape, longest_first)), REDACTED, text, flags=re.IGNORECASE)


def _forms(value: str) -> Iterator[str]:
    yield from (value, quote(value, safe=""), quote_plus(value), quote(value))
    if len(value) >= _TELLING_CHARACTERS:
        # What comes before it decides how base64 writes it: the whole letters of each of the three ways.
        for before in range(3):
            encoded = b64encode(b"\0" * before + value.encode()).decode()[(0, 2, 3)[before] : -4]
            yield from (encoded, encoded.replace("+", "-").replace("/", "_"))
