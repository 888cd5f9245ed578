"""In which order tests run, and which share a worker."""

from __future__ import annotations

# Its plugin imports it at the end, and then looks for itself among what the garbage collector follows, which is
# nothing of what was there before a command of the command line ended in this process.
import hypothesis  # noqa: F401
import pytest


# Before xdist, which reads the groups in a hook of the same name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end tests of a folder share a platform, so a worker; they start first, since they take longest."""
    for item in items:
        if item.get_closest_marker("end_to_end"):
            item.add_marker(pytest.mark.xdist_group(item.path.parent.name))
    items.sort(key=lambda item: item.get_closest_marker("end_to_end") is None)
