"""How often the full rule set is asked, and which of its rules an agency lives with. Data only, and cheap to import."""

from __future__ import annotations

from dataclasses import dataclass

from continuous_gtfs.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSampling:
    """What an agency asks of the full validation of its realtime feeds.

    Attributes:
        every_min: Minutes between two samples: a divisor of 60, or whole hours that divide a day. None: only when a
            person asks.
        ignored_rules: Rules, such as ``E023``, whose errors do not count for the check. The report shows them.
        keep_reports: How many reports stay in the archive.
    """

    every_min: int | None = 15
    ignored_rules: frozenset[str] = frozenset()
    keep_reports: int = 200

    def __post_init__(self) -> None:
        if isinstance(self.ignored_rules, str):
            raise ConfigurationError(f"ignored_rules is {self.ignored_rules!r}; give a set of rules, {{'E023'}}")
        object.__setattr__(self, "ignored_rules", frozenset(self.ignored_rules))
        if self.keep_reports < 1:
            raise ConfigurationError(f"keep_reports is {self.keep_reports}; give 1 or more")
        if self.every_min is not None and not _has_cron(self.every_min):
            raise ConfigurationError(
                f"every_min is {self.every_min!r}; give minutes that divide an hour (15), whole hours that divide a "
                "day (120), or None"
            )

    @property
    def cron(self) -> str | None:
        """The samples' times as a cron schedule; None where there are none."""
        if self.every_min is None:
            return None
        if self.every_min < 60:
            return f"*/{self.every_min} * * * *"
        return f"0 */{self.every_min // 60} * * *"


def _has_cron(minutes: int) -> bool:
    if type(minutes) is not int or minutes < 1:
        return False
    return 60 % minutes == 0 or (minutes % 60 == 0 and 24 % (minutes // 60) == 0)
