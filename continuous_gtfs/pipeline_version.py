"""Which release of the pipeline runs: the tag of its image, where it runs from one.

An agency's own image is built from this project's and has a tag of its own; it, and not this package's version, says
which code made a feed. It is recorded with every publication and every run that a sensor asks for.
"""

from __future__ import annotations

from collections.abc import Mapping

from continuous_gtfs import __version__

SETTING = "CONTINUOUS_GTFS_PIPELINE_VERSION"


def pipeline_version(environ: Mapping[str, str]) -> str:
    """The version that the image was built with; this package's where nothing says otherwise.

    Args:
        environ: Usually ``os.environ``. The Dockerfile sets ``CONTINUOUS_GTFS_PIPELINE_VERSION`` to the image's tag.
    """
    return environ.get(SETTING, "").strip() or __version__
