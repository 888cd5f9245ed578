"""Finding an agency's modules: in a dotted package, or in any folder, whatever its name.

Here: how a name becomes a module, and what is said when it cannot. What the modules declare is in ``agency``.

A folder is imported as a package of its own, so its modules may import each other relatively. They may import each
other by plain name too, as modules beside a script do. For that the folder comes last on the import path: an author's
``calendar.py`` must not stand in for the standard library's, which pandas imports.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from continuous_gtfs.errors import ConfigurationError, ContinuousGtfsError, StepDefinitionError

DEFAULT_AGENCY = "continuous_gtfs.agencies.sound_transit"

_KEYED = re.compile(r"([a-z][a-z0-9_]*)=(.+)")
_DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_packages: dict[str, Path] = {}


def split_key(agency: str) -> tuple[str | None, str]:
    """The key by which an agency is told from others in one deployment, and its name: ``capital=agencies.capital``.

    The key is None where none is given; a folder whose own name looks so has none.
    """
    keyed = _KEYED.fullmatch(agency)
    return (None, agency) if keyed is None or Path(agency).is_dir() else (keyed[1], keyed[2])


def load_module(agency: str, part: str) -> ModuleType:
    """The module ``part`` (``feeds``, ``schedule``, ``realtime``) of an agency.

    Args:
        agency: A folder, or the dotted name of a package. A bare name is a folder where there is one that holds
            such a module. A key in front of it, see ``split_key``, changes nothing here.

    Raises:
        ConfigurationError: There is no such agency or module, or importing it failed; the message says at which line.
        StepDefinitionError: A step in it is declared wrongly; likewise.
    """
    importlib.invalidate_caches()
    _, agency = split_key(agency)
    folder = Path(agency).expanduser()
    if (folder / f"{part}.py").is_file():
        return _import(f"{_package_of(folder.resolve())}.{part}")
    if folder.is_file():
        raise ConfigurationError(f"{agency} is a file; name the folder that holds {part}.py")
    if not _DOTTED_NAME.fullmatch(agency):
        if not folder.is_dir():
            raise ConfigurationError(f"unknown agency {agency!r}: there is no such folder")
        raise _without(part, agency)
    wanted = f"{agency}.{part}"
    try:
        return _import(wanted)
    except _NotFoundError as error:
        if folder.is_dir() and not _is_importable(agency):
            raise _without(part, agency) from None
        if error.name == wanted:
            raise ConfigurationError(f"the agency {agency} has no module {part}: there is no {wanted}") from None
        raise ConfigurationError(
            f"unknown agency {agency!r}: there is no such folder and no module {error.name}; CONTINUOUS_GTFS_AGENCY or "
            f"the command's argument names a folder or a package with feeds.py, schedule.py and realtime.py, "
            f"e.g. {DEFAULT_AGENCY}"
        ) from None


class _NotFoundError(Exception):
    """The module asked for, or a package above it, is not there."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _import(wanted: str) -> ModuleType:
    try:
        return importlib.import_module(wanted)
    except SyntaxError as error:
        raise ConfigurationError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except ModuleNotFoundError as error:
        # A missing import inside an existing module is a bug there, not an unknown agency.
        if error.name is not None and (wanted == error.name or wanted.startswith(error.name + ".")):
            raise _NotFoundError(error.name) from error
        raise ConfigurationError(f"{_place(error, wanted)}: {error}") from error
    except ContinuousGtfsError as error:
        kind = StepDefinitionError if isinstance(error, StepDefinitionError) else ConfigurationError
        raise kind(f"{_place(error, wanted)}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{_place(error, wanted)}: {type(error).__name__}: {error}") from error


def author_line(error: BaseException, agency: str, part: str) -> str | None:
    """``file:line`` of the last line of the agency's own code that led to the error; None where none did."""
    file = load_module(agency, part).__file__
    frames = [] if file is None else _frames_in(error, Path(file).parent)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _place(error: BaseException, wanted: str) -> str:
    """``file:line`` of the author's own line that led to the error: the last one outside what it calls."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    own = _folder_of(wanted)
    frame = ((_frames_in(error, own) if own is not None else []) or frames)[-1]
    return f"{frame.filename}:{frame.lineno}"


def _frames_in(error: BaseException, folder: Path) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)]


def _folder_of(wanted: str) -> Path | None:
    package = wanted.rpartition(".")[0]
    if package in _packages:
        return _packages[package]
    file = getattr(sys.modules.get(package), "__file__", None)
    return Path(file).parent if file else None


def _without(part: str, agency: str) -> ConfigurationError:
    return ConfigurationError(f"the folder {agency} has no {part}.py")


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _package_of(folder: Path) -> str:
    """Name of the package that the folder's modules are imported in; made when it is asked for first.

    The folder's own name is in it, and not its path: a class's module is part of a step's hash, which must not
    depend on the machine.
    """
    stem = "agency_folder_" + re.sub(r"\W", "_", folder.name)
    name, number = stem, 1
    while _packages.get(name, folder) != folder:
        number += 1
        name = f"{stem}_{number}"
    if name not in _packages:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        _packages[name] = folder
    _put_on_path(folder)
    return name


def _put_on_path(folder: Path) -> None:
    """Let the folder's modules be imported by plain name, instead of those of the folder before it."""
    for other in _packages.values():
        if other == folder:
            continue
        if str(other) in sys.path:
            sys.path.remove(str(other))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if "." not in name and file and Path(file).parent == other:
                del sys.modules[name]
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
