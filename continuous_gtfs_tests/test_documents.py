"""Every shell line of the project's pages is run by a test, or is listed here with the reason why it cannot be."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type

from continuous_gtfs.instance.launcher import WarmRunLauncher
from continuous_gtfs.pims.outcomes import CouldNotTell
from continuous_gtfs_tests import documents
from continuous_gtfs_tests.documents import PAGES, lines_of
from continuous_gtfs_tests.real_data import ROOT

TESTS = Path(__file__).parent
# How a test names what it runs: by a function of documents.py with a constant.
NAMING: dict[str, Callable[[str], object]] = {
    each.__name__: each
    for each in (
        documents.operations_block,
        documents.operations_line,
        documents.operations_lines,
        documents.readme_block,
        documents.example_block,
    )
}
NOT_RUN = {
    "make demo": "demo/test_run.py runs the command behind it; `make` would install everything first",
    "make test": "is what runs this",
    "docker build ": "needs an engine; `make image-check` runs the steps of the Dockerfile",
    "gcloud ": "needs a Google Cloud project",
    "kubectl ": "needs a cluster; deploy/test_kubernetes.py holds the manifests against Kubernetes' schemas",
}
# What else stands in blocks, by page and language: which test uses it. None uses a drawing, an example of a list of
# steps, and a question to DuckDB, which is not among what is installed.
OTHER_BLOCKS = {
    ("README.md", ""): "",
    ("README.md", "python"): "",
    ("docs/operations.md", "python"): "defs/test_added_feed.py",
    ("docs/operations.md", "sql"): "",
    ("docs/operations.md", "yaml"): "test_documents.py",
}


def named() -> Iterator[tuple[str, str]]:
    """The calls of the functions above in all tests: name, and constant."""
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(words))]) if name in NAMING:
                    yield name, words


def run_by_tests() -> set[str]:
    found: set[str] = set()
    for name, words in named():
        told = NAMING[name](words)
        found |= set(told) if isinstance(told, list) else set(lines_of(str(told)))
    return found


def reasons_for(line: str) -> list[str]:
    return [start for start in NOT_RUN if line.startswith(start)]


def anchor(title: str) -> str:
    """What a page's viewer makes of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_each_link_within_the_pages_leads_somewhere() -> None:
    pages = {*PAGES, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"}
    assert len(pages) > len(PAGES) + 20
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, place = target.partition("#")
            if "://" in target:
                continue
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name}: {target}"
            if place and file in pages:
                titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
                assert place in map(anchor, titles), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_shell_line_is_run_or_has_a_reason(page: Path) -> None:
    lines = {line for body in documents.blocks(page, "bash", "console") for line in lines_of(body)}
    run = run_by_tests()
    assert lines
    assert sorted(line for line in lines - run if not reasons_for(line)) == []
    assert sorted(line for line in lines & run if reasons_for(line)) == [], "is run, and has a reason why it is not"


def test_what_is_marked_console_is_what_is_not_run() -> None:
    for page in PAGES:
        told = [line for body in documents.blocks(page, "console") for line in lines_of(body)]
        assert [line for line in told if not reasons_for(line)] == []


def test_each_reason_is_still_one_of_a_line() -> None:
    lines = [line for page in PAGES for body in documents.blocks(page, "bash", "console") for line in lines_of(body)]
    assert {start for line in lines for start in reasons_for(line)} == set(NOT_RUN)


def test_the_launcher_takes_the_settings_of_a_second_agency() -> None:
    (block,) = documents.blocks(documents.OPERATIONS, "yaml")
    told = yaml.safe_load(block)["run_launcher"]
    assert (told["module"], told["class"]) == (WarmRunLauncher.__module__, WarmRunLauncher.__name__)
    outcome = process_config(resolve_to_config_type(WarmRunLauncher.config_type()), told["config"])
    assert outcome.success, outcome.errors
    ours = yaml.safe_load((ROOT / "dagster.yaml").read_text())["run_launcher"]["config"]
    assert told["config"]["modules"] == ours["modules"]


def test_each_kind_of_other_block_is_known() -> None:
    found = {
        (str(page.relative_to(ROOT)), language)
        for page in PAGES
        for language, _ in documents.BLOCK.findall(page.read_text())
        if language not in ("bash", "console")
    }
    assert found == set(OTHER_BLOCKS)
    for (_, language), path in OTHER_BLOCKS.items():
        assert not path or f'"{language}"' in (TESTS / path).read_text(), path


def test_each_line_of_what_is_defended_names_a_test_that_is_there() -> None:
    section = documents.OPERATIONS.read_text().partition("\n## Security\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    for row in rows:
        file, _, name = row.removesuffix(" |").rpartition("| ")[2].strip("`").partition("::")
        tree = ast.parse((TESTS / file).read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, row


def test_each_outcome_of_a_request_that_could_not_tell_has_its_line() -> None:
    section = documents.OPERATIONS.read_text().partition("\n## The vendor does not answer\n")[2].partition("\n## ")[0]
    kinds = re.findall(r"``(\w+)``", (CouldNotTell.__doc__ or "").partition("kind:")[2].partition("reason:")[0])
    assert len(kinds) > 15
    assert [kind for kind in kinds if f"`{kind}`" not in section] == []
