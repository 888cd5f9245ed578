"""The audit fails for a real finding only and says when it could ask nobody; what the image holds is listed whole."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from continuous_gtfs import __version__
from continuous_gtfs_tests.real_data import ROOT
from tools import runtime_lock
from tools.audit import ALLOWED, Allowed, judge, read_allowed

TODAY = date(2026, 6, 1)
FOUND = {"id": "PYSEC-2026-9", "aliases": ["CVE-2026-1"], "fix_versions": ["1.1"]}


def package(name: str, *vulnerabilities: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": list(vulnerabilities)}


def allowed(until: date) -> Allowed:
    return Allowed(id="CVE-2026-1", package="a", reason="nothing here calls it", until=until)


def test_a_known_vulnerability_fails_and_says_what_helps() -> None:
    verdict = judge([package("a", FOUND), package("b")], [], TODAY)
    assert verdict.fails
    assert verdict.lines == ("a 1.0: PYSEC-2026-9, fixed in: 1.1", "audit: 2 packages asked about")


@pytest.mark.parametrize(("until", "fails"), [(date(2026, 6, 1), False), (date(2026, 5, 31), True)])
def test_one_that_is_lived_with_fails_again_after_its_last_day(until: date, fails: bool) -> None:
    verdict = judge([package("a", FOUND)], [allowed(until)], TODAY)
    assert verdict.fails is fails
    assert any("is over" in line for line in verdict.lines) is fails


def test_an_entry_is_for_one_package() -> None:
    assert judge([package("b", FOUND)], [allowed(TODAY)], TODAY).fails


def test_an_entry_that_nothing_needs_any_more_is_named() -> None:
    verdict = judge([package("a")], [allowed(TODAY)], TODAY)
    assert not verdict.fails
    assert "accepted and not met any more: CVE-2026-1 of a" in verdict.lines


def test_what_the_service_does_not_know_is_counted() -> None:
    verdict = judge([package("a"), {"name": "b", "skip_reason": "not found"}], [], TODAY)
    assert verdict.lines == ("audit: 1 packages asked about, 1 not known to the service",)


def test_an_entry_without_a_reason_or_a_day_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "allowed.toml"
    file.write_text('[[allowed]]\nid = "CVE-2026-1"\npackage = "a"\nuntil = 2026-12-31\n')
    with pytest.raises(TypeError, match="reason"):
        read_allowed(file)
    assert all(entry.reason and entry.until for entry in read_allowed(ALLOWED))


def test_without_a_network_it_says_in_one_line_that_nothing_was_checked() -> None:
    proxy = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    told = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "audit.py")], env=proxy, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "audit: nothing was checked: the advisory service cannot be reached from here\n"


def test_the_bill_of_materials_lists_exactly_the_runtime_lock_in_the_same_bytes_each_time(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.json", "two.json")]
    for file in files:
        subprocess.run([sys.executable, str(ROOT / "tools" / "make_sbom.py"), str(file)], check=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    document = json.loads(files[0].read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["version"]) == ("CycloneDX", __version__)
    listed = {f"{each['name']}=={each['version']}" for each in document["components"]}
    assert listed == set(runtime_lock.pins(ROOT / runtime_lock.NAME).values())
    assert [each["name"] for each in document["components"] if not each.get("licenses")] == []
