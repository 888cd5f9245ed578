"""What both pipelines have to agree on: stations that the vendor sends and riders may not see yet."""

from __future__ import annotations

NOT_YET_OPEN = ("E01", "E07")
PLATFORMS_NOT_YET_OPEN = tuple(f"{station}-{platform}" for station in NOT_YET_OPEN for platform in ("T1", "T2"))
