from __future__ import annotations

import pytest

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.gtfs.checks.accept import accepted_names


def test_names_come_from_several_lists_with_spaces_between() -> None:
    accepted = accepted_names("does_not_shrink, feed_covers_next_days", "", "invalid_url,")
    assert accepted == {"does_not_shrink", "feed_covers_next_days", "invalid_url"}


@pytest.mark.parametrize("everything", ["all", "ALL", "does_not_shrink,all", "*", "everything", "does not shrink"])
def test_everything_at_once_is_not_accepted(everything: str) -> None:
    with pytest.raises(ConfigurationError, match="one by one"):
        accepted_names(everything)
