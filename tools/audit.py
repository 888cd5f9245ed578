"""Ask the advisory service of the package index about every version of requirements.lock.

Usage: python tools/audit.py. Exit code 1 only for a real finding: a known vulnerability that audit-allowed.toml does
not accept, or accepts until a day that is over. Where the service cannot be reached, or does not know these packages,
it says so in one line and ends with 0: nothing was found, and nothing was asked either. One package is asked about
first, so that a machine without a network does not wait for all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = ROOT / "tools" / "audit-allowed.toml"
PROBE = "dagster=="
TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """One vulnerability that is lived with: why, and until when."""

    id: str
    package: str
    reason: str
    until: date


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an answer amounts to: lines to show, and whether it fails."""

    lines: tuple[str, ...]
    fails: bool


def read_allowed(path: Path) -> list[Allowed]:
    """The accepted vulnerabilities.

    Raises:
        TypeError: An entry lacks a reason or a day, or says more than is known here.
    """
    return [Allowed(**entry) for entry in tomllib.loads(path.read_text()).get("allowed", [])]


def judge(dependencies: Sequence[dict[str, Any]], allowed: Sequence[Allowed], today: date) -> Verdict:
    """What pip-audit's answer means.

    Args:
        dependencies: ``dependencies`` of its JSON: name, version and ``vulns``, or ``skip_reason``.
        allowed: What is lived with.
        today: An entry holds through its last day.
    """
    asked = [each for each in dependencies if "skip_reason" not in each]
    unknown = len(dependencies) - len(asked)
    lines, fails = [], False
    by_key = {(each.package, each.id): each for each in allowed}
    met = set()
    for dependency in asked:
        for vulnerability in dependency["vulns"]:
            ids = [vulnerability["id"], *vulnerability.get("aliases", [])]
            entry = next((by_key[key] for name in ids if (key := (dependency["name"], name)) in by_key), None)
            met.add(entry)
            if entry is not None and today <= entry.until:
                continue
            fails = True
            fixed = ", ".join(vulnerability.get("fix_versions", [])) or "none yet"
            over = f"; accepted until {entry.until}, which is over" if entry else ""
            lines.append(f"{dependency['name']} {dependency['version']}: {ids[0]}, fixed in: {fixed}{over}")
    lines += [f"accepted and not met any more: {each.id} of {each.package}" for each in allowed if each not in met]
    lines.append(
        f"audit: {len(asked)} packages asked about" + (f", {unknown} not known to the service" if unknown else "")
    )
    return Verdict(lines=tuple(lines), fails=fails)


def ask(requirements: Path) -> list[dict[str, Any]] | None:
    """pip-audit's answer about a file of pins; None where the service cannot be reached."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off", "--timeout", str(TIMEOUT_S)]
    told = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(told.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return found


def main() -> int:
    lock = ROOT / "requirements.lock"
    pins = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.txt")
        probe.write_text(next(line for line in pins if line.startswith(PROBE)) + "\n")
        first = ask(probe)
        if not first or "skip_reason" in first[0]:
            why = "cannot be reached" if not first else "does not know these packages"
            sys.stdout.write(f"audit: nothing was checked: the advisory service {why} from here\n")
            return 0
        plain = Path(folder, "requirements.txt")
        plain.write_text("\n".join(pins) + "\n")
        answer = ask(plain)
    if answer is None:
        sys.stdout.write("audit: nothing was checked: the advisory service did not answer for all packages\n")
        return 0
    verdict = judge(answer, read_allowed(ALLOWED), datetime.now(UTC).date())
    sys.stdout.write("".join(f"{line}\n" for line in verdict.lines))
    return 1 if verdict.fails else 0


if __name__ == "__main__":
    raise SystemExit(main())
