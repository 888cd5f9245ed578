"""Templates of URLs and header values: ``${config:NAME}``, ``${secret:NAME}`` and ``${secret:NAME@VERSION}``.

A template is what is declared, shown and stored; what it renders to is used for one request and dropped. A secret's
newest version is meant where none is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.secrets import LATEST, SecretSource

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_PLACEHOLDER = re.compile(
    r"\$\{(?:"
    rf"(?P<kind>config|secret):(?P<name>{_NAME})(?:@(?P<version>[A-Za-z0-9][A-Za-z0-9_-]*))?\}}"
    r"|(?P<bad>[^}]*\}?))"
)


def render(template: str, *, config: Mapping[str, str], secrets: SecretSource) -> str:
    """``template`` with every placeholder replaced. The result may hold a secret: never print it.

    Raises:
        ConfigurationError: A setting or secret is missing or blank, or a placeholder is neither of the two
            forms. The message names the setting, never a value.
    """
    return _substitute(template, config=lambda name: _setting(config, name), secret=secrets.get)


def render_url(template: str, *, config: Mapping[str, str], secrets: SecretSource) -> str:
    """``render`` for a URL: a secret is percent-encoded, a base URL may end in a slash or not.

    A template that is nothing but one placeholder is the whole URL, taken as it is.
    """
    whole = _PLACEHOLDER.fullmatch(template)
    if whole is not None and whole["kind"]:
        return render(template, config=config, secrets=secrets)
    return _substitute(
        template,
        config=lambda name: _setting(config, name).rstrip("/"),
        secret=lambda name, version: quote(secrets.get(name, version), safe=""),
    )


def render_header(template: str, *, config: Mapping[str, str], secrets: SecretSource) -> str:
    """``render`` for a header value.

    Raises:
        ConfigurationError: As ``render``; or the value holds a character that no header can carry. It is
            checked here because the HTTP library's own complaint quotes the value.
    """
    value = render(template, config=config, secrets=secrets)
    if not (value.isascii() and value.isprintable()):
        named = ", ".join(f"{kind} {name}" for kind, name in placeholders(template)) or "a header's template"
        raise ConfigurationError(
            f"a header cannot carry the value of {named}: it holds a line break or a character outside ASCII"
        )
    return value


def placeholders(template: str) -> tuple[tuple[str, str], ...]:
    """The (kind, name) pairs that ``template`` needs, in order, e.g. ``(("secret", "PIMS_QA_TOKEN"),)``."""
    return tuple((m["kind"], m["name"]) for m in _PLACEHOLDER.finditer(template) if m["kind"])


def _substitute(template: str, *, config: Callable[[str], str], secret: Callable[[str, str], str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match["kind"] is None or (match["kind"] == "config" and match["version"]):
            raise ConfigurationError(
                f"a placeholder in a template is neither ${{config:NAME}} nor ${{secret:NAME}}: {match[0]}"
            )
        if match["kind"] == "config":
            return config(match["name"])
        return secret(match["name"], match["version"] or LATEST)

    return _PLACEHOLDER.sub(value, template)


def _setting(config: Mapping[str, str], name: str) -> str:
    value = config.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"the setting {name} is not set: set the environment variable {name}")
    return value
