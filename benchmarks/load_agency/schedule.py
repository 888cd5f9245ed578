"""No schedule is in the load tests; the location runs all the same, with its maintenance and its alerts."""

from __future__ import annotations

STEPS: list[object] = []
