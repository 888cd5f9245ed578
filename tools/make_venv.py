"""Make .venv: the pinned packages of requirements.lock and the project itself, with progress in one line.

Usage: python3 tools/make_venv.py [FOLDER]. Standard library only, and readable by an old Python, which is told
what is needed. The whole output of pip is kept in FOLDER/install.log.
"""

import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEEDED = (3, 11)
SHOW_EVERY_S = 5


def main():
    if sys.version_info < NEEDED:
        fail("Python %d.%d or newer is needed, this is %s: make PYTHON=/path/to/python" % (NEEDED + (version(),)))
    folder = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, ".venv"))
    lock = os.path.join(ROOT, "requirements.lock")
    python = os.path.join(folder, "bin", "python")
    with open(lock) as lines:
        count = sum(1 for line in lines if "==" in line)
    say("making %s with Python %s" % (os.path.relpath(folder), version()))
    if not has_pip(python):
        clear = ["--clear"] if os.path.exists(folder) else []
        made = subprocess.run([sys.executable, "-m", "venv", *clear, folder], capture_output=True, text=True)
        if made.returncode != 0:
            why = (made.stdout + made.stderr).strip().splitlines() or ["no reason given"]
            fail("cannot make %s: %s (on Debian and Ubuntu: apt install python3-venv)" % (folder, why[0]))
    with open(os.path.join(folder, "install.log"), "w") as log:
        pip(python, ["-r", lock], log, count)
        # A plain line in a .pth file: the other way imports a finder, which takes every command 10 ms.
        editable = ["--config-settings", "editable_mode=compat", "-e", ROOT]
        pip(python, ["--no-deps", "--no-build-isolation", *editable], log, 0)
    say("installed %d packages" % count)


def pip(python, arguments, log, count):
    """Run pip install; show how many of ``count`` packages it has come to."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PYTHONUNBUFFERED="1")
    command = [python, "-m", "pip", "install", "--progress-bar", "off", *arguments]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    seen, shown, errors = set(), 0.0, []
    for line in process.stdout:
        log.write(line)
        if line.lower().startswith("error"):
            errors.append(line.strip())
        words = line.split()
        if words[:1] == ["Collecting"] or words[:2] == ["Requirement", "already"]:
            seen.add(words[1])
        elif words[:2] != ["Installing", "collected"]:
            continue
        what = "unpacking them" if words[0] == "Installing" else "found %d of %d packages" % (len(seen), count)
        if count and (time.monotonic() - shown >= SHOW_EVERY_S or words[0] == "Installing"):
            say(what)
            shown = time.monotonic()
    if process.wait() != 0:
        fail("pip failed: %s (see %s)" % (errors[0] if errors else "no reason given", log.name))


def has_pip(python):
    return (
        os.path.exists(python)
        and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
    )


def version():
    return ".".join(str(part) for part in sys.version_info[:3])


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(text):
    sys.stderr.write("error: %s\n" % text)
    sys.exit(2)


if __name__ == "__main__":
    main()
