"""What a check says: its name is a claim, and the numbers show why it holds or not. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutcome:
    """One claim, judged.

    Attributes:
        check: The claim, ``references_resolve``.
        is_passed: False where what would be published is worse than what is.
        message: One sentence for the operator who has to decide.
        numbers: JSON values by name, with the unit in the name.
    """

    check: str
    is_passed: bool
    message: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
