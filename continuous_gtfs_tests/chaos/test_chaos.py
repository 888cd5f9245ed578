"""The short form of the chaos run: a platform under load, killed in the middle of what must not be cut in two."""

from __future__ import annotations

from pathlib import Path

import pytest

from continuous_gtfs.demo import commands
from continuous_gtfs_tests.chaos.campaign import Campaign
from continuous_gtfs_tests.chaos.stages import Kill
from continuous_gtfs_tests.chaos.supervised import CONTAINER, EVERYTHING, WORKER

pytestmark = pytest.mark.end_to_end

KILLS = (
    Kill("realtime.pointer", (WORKER,)),
    Kill("realtime.report", (commands.DAEMON + CONTAINER,)),
    Kill("schedule.stable_url.inside", (EVERYTHING,)),
)


def test_nothing_is_lost_torn_repeated_or_stuck_when_processes_are_killed(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=0)
    with campaign.running():
        for kill in KILLS:
            campaign.kill([kill])
        campaign.end()
    found = campaign.round
    assert found.broken == [], "\n".join(found.evidence)
    assert [killed.stage for killed in found.killed] == [kill.stage for kill in KILLS]
    assert min(found.figures["looks at files that had changed"], found.figures["looks over HTTP that had changed"]) > 20
