"""Where alerts go: the setting ``CONTINUOUS_GTFS_ALERT_URLS``, and one message to one place. No error holds a URL."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from continuous_gtfs.alerts.problems import Notice, Severity
from continuous_gtfs.alerts.rendering import text, title, webhook_body
from continuous_gtfs.errors import ConfigurationError, ContinuousGtfsError, TransientError
from continuous_gtfs.pims.quiet import no_http_records
from continuous_gtfs.pims.secrets import SecretSource
from continuous_gtfs.pims.templates import render_url

SETTING = "CONTINUOUS_GTFS_ALERT_URLS"
UI_SETTING = "CONTINUOUS_GTFS_UI_URL"
_TIMEOUT_S = 5.0


class AlertNotDeliveredError(TransientError):
    """A destination did not take a message."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One place.

    Attributes:
        name: Its place in the setting, which is all that is ever shown of it: a webhook's URL is a secret.
        template: URL, perhaps with ``${secret:NAME}``.
        least: Milder problems are not sent there.
    """

    name: str
    template: str
    least: Severity

    def __repr__(self) -> str:
        return f"Destination({self.name!r}, least={self.least.value!r})"

    def wants(self, notice: Notice) -> bool:
        return notice.problem.severity.rank >= self.least.rank

    def send(self, notices: Sequence[Notice], *, environ: Mapping[str, str], secrets: SecretSource) -> None:
        """Deliver one message.

        Raises:
            AlertNotDeliveredError: It was not taken.
            ContinuousGtfsError: A secret is missing or could not be read.
        """
        url = render_url(self.template, config=environ, secrets=secrets)
        ui_url = environ.get(UI_SETTING, "")
        try:
            if url.startswith(("https://", "http://")):
                self._post(url, notices, ui_url)
            else:
                self._apprise(url, notices, ui_url)
        except ContinuousGtfsError:
            raise
        except Exception as error:
            # Whatever a library says of a failed delivery may quote the URL: only its kind is told.
            raise AlertNotDeliveredError(f"{self.name} was not reached: {type(error).__name__}") from None

    def _post(self, url: str, notices: Sequence[Notice], ui_url: str) -> None:
        # What it answers is not read: only whether it has taken the message.
        body = webhook_body(notices, ui_url=ui_url)
        with no_http_records(), httpx.stream("POST", url, json=body, timeout=_TIMEOUT_S) as response:
            if not response.is_success:
                raise AlertNotDeliveredError(f"{self.name} answered {response.status_code}")

    def _apprise(self, url: str, notices: Sequence[Notice], ui_url: str) -> None:
        import apprise

        logger = logging.getLogger("apprise")
        was_disabled, logger.disabled = logger.disabled, True
        try:
            sender = apprise.Apprise()
            if not sender.add(url):
                raise ConfigurationError(f"{self.name} of {SETTING} is no URL that apprise knows")
            taken = sender.notify(title=title(notices), body=text(notices, ui_url=ui_url), body_format="text")
        finally:
            logger.disabled = was_disabled
        if not taken:
            raise AlertNotDeliveredError(f"{self.name} did not take the message")


def destinations(environ: Mapping[str, str]) -> list[Destination]:
    """The places that the setting names, separated by white space; ``warning=URL`` gets warnings too.

    Raises:
        ConfigurationError: A word of it is no URL.
    """
    found = []
    for number, word in enumerate(environ.get(SETTING, "").split(), start=1):
        name = f"destination {number}"
        before, _, rest = word.partition("=")
        is_marked = before in list(Severity)
        template, least = (rest, Severity(before)) if is_marked else (word, Severity.ERROR)
        if "://" not in template and not template.startswith("${"):
            raise ConfigurationError(
                f"{name} of {SETTING} is no URL: https://…, slack://…, mailto://… or ${{secret:NAME}}"
            )
        found.append(Destination(name, template, least))
    return found
