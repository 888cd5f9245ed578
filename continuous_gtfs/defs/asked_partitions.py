"""Which partitions a run was asked for, none being a mistake of whoever named the range."""

from __future__ import annotations

from collections.abc import Sequence

from continuous_gtfs.errors import ConfigurationError


def asked_partitions(partition_keys: Sequence[str]) -> tuple[str, ...]:
    """The keys as Dagster gives them, which is none at all for a range whose last partition comes before its first.

    Raises:
        ConfigurationError: There is none; a run that did nothing would look like one that did its work.
    """
    if not partition_keys:
        raise ConfigurationError(
            "the range holds no partition: name first the one that comes first in the order of the web interface"
        )
    return tuple(partition_keys)
