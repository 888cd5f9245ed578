"""The shell lines of the project's pages, for tests that run them. ``test_documents.py`` sees that none is left out.

A test names what it runs by one of the functions here, with a constant: that is how it is told which lines are run.
"""

from __future__ import annotations

import re
from pathlib import Path

from continuous_gtfs_tests.real_data import ROOT

OPERATIONS = ROOT / "docs" / "operations.md"
README = ROOT / "README.md"
EXAMPLE = ROOT / "docs" / "examples" / "agency" / "README.md"
PAGES = (README, OPERATIONS, EXAMPLE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page, of some languages."""
    return [body for language, body in BLOCK.findall(page.read_text()) if language in languages]


def lines_of(body: str) -> list[str]:
    return [line for line in body.splitlines() if line]


def operations_line(words: str) -> str:
    """The one shell line of docs/operations.md that holds ``words``."""
    lines = dict.fromkeys(line for body in blocks(OPERATIONS, "bash") for line in lines_of(body))
    (found,) = [line for line in lines if words in line]
    return found


def operations_lines(title: str) -> list[str]:
    """The shell lines of one section of docs/operations.md, in their order."""
    section = OPERATIONS.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = [line for language, body in BLOCK.findall(section) if language == "bash" for line in lines_of(body)]
    assert found, f"docs/operations.md has no shell line under {title!r}"
    return found


def operations_block(words: str) -> str:
    """The one block of shell lines of docs/operations.md that holds ``words``."""
    (found,) = [body for body in blocks(OPERATIONS, "bash") if words in body]
    return found


def readme_block(words: str) -> str:
    """The one block of shell lines of the README that holds ``words``."""
    (found,) = [body for body in blocks(README, "bash") if words in body]
    return found


def example_block(words: str) -> str:
    """The one block of shell lines of the example agency's README that holds ``words``."""
    (found,) = [body for body in blocks(EXAMPLE, "bash") if words in body]
    return found
