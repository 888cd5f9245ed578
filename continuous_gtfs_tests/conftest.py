"""In which order tests run. Those of a file share a worker, and so what the file starts for them."""

from __future__ import annotations

# Its plugin imports it at the end, and then looks for itself among what the garbage collector follows, which is
# nothing of what was there before a command of the command line ended in this process.
import hypothesis  # noqa: F401
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end tests start first, since they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("end_to_end") is None)
