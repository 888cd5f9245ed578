"""Write the software bill of materials of the image: every package of requirements-runtime.lock, as CycloneDX JSON.

Usage: python tools/make_sbom.py [FILE], by a Python that has the packages installed; build/sbom.json unless told. The
same lock gives the same bytes: no clock, no random serial number. A licence is told where the installed package's
metadata tells it, as an SPDX expression where it is one.
"""

from __future__ import annotations

import sys
import tomllib
from importlib import metadata
from pathlib import Path

from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runtime_lock

ROOT = Path(__file__).resolve().parent.parent
LONGEST_NAME = 100


def sbom(lock: Path) -> str:
    """The document for one lock."""
    version = metadata.version("continuous-gtfs")
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    root = _component(name, version, kind=ComponentType.APPLICATION)
    parts = [_component(*line.split("==")) for line in runtime_lock.pins(lock).values()]
    bom = Bom(components=parts)
    bom.metadata.component = root
    bom.register_dependency(root, parts)
    # Both would differ from one run to the next.
    bom.serial_number = None  # type: ignore[assignment]
    bom.metadata.timestamp = None  # type: ignore[assignment]
    document: str = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    return document + "\n"


def _component(name: str, version: str, *, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    purl = PackageURL("pypi", name=runtime_lock.normal(name), version=version)
    licenses = _licenses(name)
    return Component(name=name, version=version, type=kind, purl=purl, bom_ref=purl.to_string(), licenses=licenses)


def _licenses(name: str) -> list[License]:
    """What the installed package says of itself: an expression, else a short text, else its classifiers."""
    told = metadata.metadata(name)
    expression, text = told.get("License-Expression"), (told.get("License") or "").strip()
    classifiers = [
        each.rpartition(" :: ")[2] for each in told.get_all("Classifier") or [] if each.startswith("License")
    ]
    factory = LicenseFactory()
    if expression:
        return [factory.make_from_string(expression)]
    # Some put the whole text of the licence there.
    if text and "\n" not in text and len(text) <= LONGEST_NAME and text != "UNKNOWN":
        return [factory.make_from_string(text)]
    named = [each for each in classifiers if each != "OSI Approved"][:1]
    return [_license(factory, each) for each in named]


def _license(factory: LicenseFactory, name: str) -> License:
    try:
        return factory.make_with_id(name)
    except InvalidSpdxLicenseException:
        return factory.make_with_name(name)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "sbom.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(sbom(ROOT / runtime_lock.NAME))
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
