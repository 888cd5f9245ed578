"""Runs every benchmark and prints its table: ``make bench``.

One script a question. Nothing here asserts a time: tables are read side by side, from one run on one machine.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("import_time.py", "first_publication.py", "realtime_update.py")


def main() -> int:
    folder = Path(__file__).parent
    return max(
        subprocess.run([sys.executable, str(folder / script)], cwd=folder.parent, check=False).returncode
        for script in SCRIPTS
    )


if __name__ == "__main__":
    sys.exit(main())
