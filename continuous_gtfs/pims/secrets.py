"""Where a secret's value comes from, and how a text is cleaned of one. Values only pass through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol
from urllib.parse import quote, quote_plus

from continuous_gtfs.errors import ConfigurationError

REDACTED = "[redacted]"


class SecretSource(Protocol):
    """Resolves a secret by name at the moment it is needed."""

    def get(self, name: str) -> str:
        """The value of the secret ``name``.

        Raises:
            ConfigurationError: There is no such secret, or it is blank; the message names it.
        """


class EnvironmentSecrets:
    """Secrets from environment variables; the mapping is read at each ``get``, so a rotated value is seen.

    Args:
        environ: Variable name to value, usually ``os.environ``; kept by reference and never printed.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __repr__(self) -> str:
        return "EnvironmentSecrets()"

    def get(self, name: str) -> str:
        """The variable's value, without the line break that a value read from a file often ends in."""
        value = self._environ.get(name, "").strip()
        if not value:
            raise ConfigurationError(f"the secret {name} is not set: set the environment variable {name}")
        return value


class RememberingSecrets:
    """Passes on another source's secrets and remembers the values, so that a text can be cleaned of them.

    One is made for one request and dropped with it.
    """

    def __init__(self, source: SecretSource) -> None:
        self._source = source
        self._given: set[str] = set()

    def __repr__(self) -> str:
        return "RememberingSecrets()"

    def get(self, name: str) -> str:
        value = self._source.get(name)
        self._given.add(value)
        return value

    def redact(self, text: str) -> str:
        """``text`` without any value that this object has given out."""
        return redact(text, self._given)


def redact(text: str, values: Iterable[str]) -> str:
    """``text`` with every one of ``values`` replaced, in the forms a URL may give it too.

    The longest goes first: a value that contains another one would otherwise leave its tail behind.
    """
    forms = {
        form for value in values if value for form in (value, quote(value, safe=""), quote_plus(value), quote(value))
    }
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return text
