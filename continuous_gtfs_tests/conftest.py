"""In which order tests run, and which share a worker: those of a file, and those of the folder with one platform."""

from __future__ import annotations

from typing import Any

# Its plugin imports it at the end, and then looks for itself among what the garbage collector follows, which is
# nothing of what was there before a command of the command line ended in this process.
import hypothesis  # noqa: F401
import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

# One platform for all tests of this folder, which take longest.
ONE_PLATFORM = "continuous_gtfs_tests/end_to_end/"


class ByPlatform(LoadFileScheduling):  # type: ignore[misc]
    """A worker takes a file at a time, and all files of one platform."""

    def _split_scope(self, nodeid: str) -> str:
        return ONE_PLATFORM if nodeid.startswith(ONE_PLATFORM) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return ByPlatform(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end tests start first, the longest of them before the others."""

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("end_to_end") is None:
            return 2
        return 0 if item.nodeid.startswith(ONE_PLATFORM) else 1

    items.sort(key=place)
