"""Write requirements-runtime.lock: the part of requirements.lock that runs, without what tests and checks it.

Usage: python tools/runtime_lock.py [--into FOLDER], by a Python that has the packages of requirements.lock. What each
package needs is read from the installed packages themselves; the versions are those of requirements.lock, so that the
image runs what was tested. The Kubernetes launcher is in it: one image serves both ways to deploy.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
NAME = "requirements-runtime.lock"
HEADING = (
    "# Made by `make runtime-lock` from requirements.lock: the packages of the image, without the development tools.\n"
)


def normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: Path) -> dict[str, str]:
    """Package to the line that pins it."""
    lines = [line.strip() for line in lock.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return {normal(line.partition("==")[0]): line for line in lines}


def wanted(project: Mapping[str, object]) -> list[str]:
    """What the project asks for to run."""
    section = project["project"]
    assert isinstance(section, Mapping)
    return [*section["dependencies"], *section["optional-dependencies"]["kubernetes"]]


def needed(requirements: Iterable[str], needs: Mapping[str, list[str]]) -> set[str]:
    """The names of everything that ``requirements`` bring along, themselves included.

    Args:
        requirements: As in pyproject.toml.
        needs: Of each package that may be met, its requirements with their markers.

    Raises:
        KeyError: Something is needed that ``needs`` does not know: the packages are not those of the lock.
    """
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            key = (normal(requirement.name), extra)
            if key not in seen:
                seen.add(key)
                waiting += _active(needs[key[0]], extra)
    return {name for name, _ in seen}


def _active(texts: Iterable[str], extra: str) -> Iterator[Requirement]:
    for text in texts:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def installed_needs() -> dict[str, list[str]]:
    """The requirements of every installed package."""
    return {normal(each.metadata["Name"]): each.requires or [] for each in metadata.distributions()}


def runtime_lock(root: Path = ROOT) -> str:
    """The text of the file."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    locked = pins(root / "requirements.lock")
    names = needed(wanted(project), installed_needs())
    missing = sorted(names - set(locked))
    if missing:
        sys.exit(f"error: requirements.lock has no {', '.join(missing)}: run `make lock`")
    return HEADING + "".join(f"{locked[name]}\n" for name in sorted(names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT, help="folder that takes the file")
    options = parser.parse_args()
    (options.into / NAME).write_text(runtime_lock())


if __name__ == "__main__":
    main()
