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
# The web interface takes no part in what is published; the long form kills it too.
NAMES = tuple(name for name in commands.ALL if name != commands.WEBSERVER)


def test_nothing_is_lost_torn_repeated_or_stuck_when_processes_are_killed(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=0, schedule_every_s=None, names=NAMES, editions=["qa"], every_stage=True)
    with campaign.running():
        campaign.kill(KILLS)
        campaign.end()
    found = campaign.round
    assert found.broken == [], "\n".join([*found.broken, *found.evidence])
    assert {(killed.stage, killed.victims) for killed in found.killed} == {(kill.stage, kill.victims) for kill in KILLS}
    assert min(found.figures["looks at files that had changed"], found.figures["looks over HTTP that had changed"]) > 20
