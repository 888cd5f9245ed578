"""Write requirements.lock: what pyproject.toml resolves to now, with its development tools, every version pinned.

And, of the same versions, requirements-runtime.lock for the image: see runtime_lock.py.

Usage: python3 tools/make_lock.py. Resolves in an empty environment under .cache/, so that nothing that happens to
be installed gets in. The build backend is pinned too: the project is then installed without fetching one.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[^\s;@]+")
HEADING = "# Made by `make lock` from pyproject.toml. Every version of what runs and of what checks it.\n"


def main() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["build-system"]["requires"],
    ]
    folder = ROOT / ".cache" / "lock"
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--upgrade", *wanted], check=True)
    frozen = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout.splitlines()
    pins = [line for line in frozen if line.partition("==")[0] not in ("pip", "wheel")]
    odd = [line for line in pins if not PINNED.fullmatch(line)]
    if odd:
        sys.exit(f"error: not a plain pin: {odd[0]}")
    (ROOT / "requirements.lock").write_text(HEADING + "\n".join(sorted(pins, key=str.lower)) + "\n")
    subprocess.run([python, str(ROOT / "tools" / "runtime_lock.py")], check=True)


if __name__ == "__main__":
    main()
