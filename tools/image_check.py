"""Build the image's environment without Docker, by the Dockerfile's own steps, and start what it is to run.

Usage: python3 tools/image_check.py [FOLDER]. The COPY and RUN lines of the build stage are carried out in a new
folder, which stands for the root of the image; pip installs everything anew, which takes a minute or two. Then each
command of docker-compose.yml is started as far as its help, and both code locations are loaded: from there alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from dockerfile import Instruction, stages

ROOT = Path(__file__).resolve().parent.parent
INSIDE = re.compile(r"(?<![\w./])/(venv|build|wheels)\b")
LOAD = (
    "from continuous_gtfs.definitions import realtime, schedule\n"
    "for location in (schedule, realtime): print(len(location.defs().get_repository_def().job_names))"
)
STARTS = (
    ["dagster", "api", "grpc", "--help"],
    ["dagster", "instance", "migrate", "--help"],
    ["dagster-daemon", "run", "--help"],
    ["dagster-webserver", "--help"],
    ["continuous-gtfs", "serve", "--help"],
    ["continuous-gtfs", "version"],
    ["python", "-c", LOAD],
)


def build(root: Path) -> None:
    """Carry out the build stage in ``root``; the Python that runs this stands for that of the base image."""
    base = root / "base"
    subprocess.run([sys.executable, "-m", "venv", str(base)], check=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))},
        "PATH": f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    for instruction in stages(ROOT / "Dockerfile")[0]:
        if instruction.name == "ENV":
            environment.update(pair.split("=", 1) for pair in instruction.text.split())
        elif instruction.name == "WORKDIR":
            (root / instruction.text.strip("/")).mkdir(parents=True)
        elif instruction.name == "COPY":
            _copy(instruction, root / "build")
        elif instruction.name == "RUN":
            command = INSIDE.sub(lambda match: str(root / match[1]), instruction.text)
            subprocess.run(["sh", "-euc", command], cwd=root / "build", env=environment, check=True)


def start(root: Path) -> None:
    """Start everything that the image is to run, from its environment alone."""
    environment = {"PATH": f"{root / 'venv' / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin", "HOME": str(root)}
    for command in STARTS:
        begun = time.monotonic()
        told = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        if told.returncode != 0:
            sys.exit(f"error: {' '.join(command[:3])} does not start:\n{told.stderr}")
        sys.stdout.write(f"{time.monotonic() - begun:5.1f} s  {' '.join(command[:3])}\n")


def _copy(instruction: Instruction, target: Path) -> None:
    *sources, _ = instruction.text.split()
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target / source)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        begun = time.monotonic()
        build(root)
        megabytes = sum(path.stat().st_size for path in (root / "venv").rglob("*") if path.is_file()) / 1e6
        sys.stdout.write(f"{time.monotonic() - begun:5.1f} s  built, {megabytes:.0f} MB\n")
        start(root)
    sys.stdout.write("1 passed, 0 failed\n")


if __name__ == "__main__":
    main()
