"""Reading a Dockerfile: its instructions, in order and by stage. As much of the format as this project uses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: ``RUN``, and what follows it in one line."""

    name: str
    text: str

    def commands(self) -> list[str]:
        """The shell commands of a RUN, which are joined by ``&&``."""
        return [part.strip() for part in self.text.split("&&")]


def instructions(path: Path) -> list[Instruction]:
    """Every instruction, comments left out and continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [Instruction(name.upper(), " ".join(text.split())) for name, text in found]


def stages(path: Path) -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[Instruction]] = []
    for instruction in instructions(path):
        if instruction.name == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found
