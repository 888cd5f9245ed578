"""The reference agency's realtime steps, and one that fails while a file is there."""

from __future__ import annotations

import os
from pathlib import Path

from continuous_gtfs.agencies.sound_transit.realtime import STEPS as REFERENCE_STEPS
from continuous_gtfs.realtime.steps import RealtimeFeeds, step

__all__ = ["FAILS_SETTING", "STEPS"]

FAILS_SETTING = "QUICK_AGENCY_STEP_FAILS"


@step(files=[])
def fail_while_told(feeds: RealtimeFeeds) -> None:
    """Has a secret at hand when it fails, as a step of an agency may have; it does not tell of it."""
    token = os.environ.get("PIMS_PRODUCTION_TOKEN", "")
    if Path(os.environ.get(FAILS_SETTING, "/nowhere")).exists():
        raise RuntimeError(f"this step was told to fail, with a token of {len(token)} characters at hand")


STEPS = [*REFERENCE_STEPS, fail_while_told]
