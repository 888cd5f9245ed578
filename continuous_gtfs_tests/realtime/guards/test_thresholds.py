from __future__ import annotations

from typing import Any

import pytest

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds


@pytest.mark.parametrize("name", ["header_age_s", "header_ahead_s", "header_back_s"])
@pytest.mark.parametrize("value", [None, -1, float("nan"), "90"])
def test_a_guard_of_the_header_cannot_be_switched_off(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is .*cannot be switched off"):
        RealtimeThresholds(**{name: value})


@pytest.mark.parametrize(
    "name", ["entities_fall_percent", "duplicate_ids_percent", "unknown_trips_percent", "unknown_stops_percent"]
)
def test_a_percentage_is_one_or_none(name: str) -> None:
    assert getattr(RealtimeThresholds(**{name: None}), name) is None
    for value in (-1, 101, True, "50"):
        with pytest.raises(ConfigurationError, match=rf"{name} is .* from 0 to 100, or None"):
            RealtimeThresholds(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [("entities_fall_held_s", -1), ("least_count", 0), ("least_count", 2.5), ("may_be_empty", "alerts")],
)
def test_a_number_that_makes_no_sense_is_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=field):
        RealtimeThresholds(**{field: value})
