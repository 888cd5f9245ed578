"""Parts of Dagster that it calls beta, used knowingly: versions are pinned, and tests hold what is needed of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dagster import BetaWarning


@contextmanager
def knowingly_beta() -> Iterator[None]:
    """Keeps Dagster's beta warning out of every log; also a decorator of what builds a definition."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)
        yield
