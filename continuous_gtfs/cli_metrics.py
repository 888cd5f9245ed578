"""The command that hands out metrics for Prometheus, at an endpoint or in a file. Imports late what it runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from continuous_gtfs.metrics.readings import Readings
    from continuous_gtfs.metrics.samples import Sample

PORT = 9464
# Nobody waits for a file as Prometheus does for an answer.
TEXTFILE_WAIT_S = 60.0


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--cached",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds for which what was read is handed out again.",
)
@click.option(
    "--textfile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write this file once and end, for node_exporter's textfile collector; its name ends in .prom.",
)
@click.option(
    "--agency",
    "agencies",
    multiple=True,
    metavar="NAME",
    help="An agency as in CONTINUOUS_GTFS_AGENCY, which is taken where none is given; may be given several times.",
)
def metrics(host: str, port: int, cached: float, textfile: Path | None, agencies: tuple[str, ...]) -> None:
    """Serve metrics for Prometheus at http://HOST:PORT/metrics, until it is ended.

    Reads Dagster's storage in DAGSTER_HOME and the stores. What cannot be read is said to be down, in
    continuous_gtfs_database_up and continuous_gtfs_store_up; all else is still told.
    """
    from continuous_gtfs.metrics import exposition

    with readings(agencies) as found:
        if textfile is not None:
            found.wait_s = TEXTFILE_WAIT_S
            exposition.write_textfile(textfile, found.current)
            return
        found.cached_s = cached
        with exposition.endpoint(found.current, host=host, port=port) as server:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            click.echo(f"http://{host}:{server.server_port}/metrics")
            server.serve_forever()


@contextmanager
def readings(agencies: tuple[str, ...]) -> Iterator[Readings]:
    """All that is read, of the agencies of these names, as the environment says where.

    Raises:
        ConfigurationError: There is no such agency.
    """
    from continuous_gtfs.agencies.agency import load_agency
    from continuous_gtfs.definitions.settings import agency_name
    from continuous_gtfs.defs.metrics_published import archive_samples, published_samples
    from continuous_gtfs.defs.metrics_reading import DatabasePart, release_samples
    from continuous_gtfs.metrics import catalogue
    from continuous_gtfs.metrics.readings import Part, Readings

    loaded = [load_agency(name) for name in agencies or (agency_name(),)]
    archive, published = (os.environ.get(f"CONTINUOUS_GTFS_{name}", "") for name in ("ARCHIVE", "PUBLISHED"))
    stores: dict[str, Callable[[float], list[Sample]]] = {
        "published": lambda _: published_samples(loaded, published),
        "archive": lambda _: archive_samples(archive),
    }
    with DatabasePart(loaded) as database:
        yield Readings(
            parts=[
                Part(name="database", read=database.read, up=catalogue.DATABASE_UP),
                *(
                    Part(name=name, read=read, up=catalogue.STORE_UP, up_labels=(name,))
                    for name, read in stores.items()
                ),
            ],
            always=release_samples(os.environ),
            tell=lambda told: click.echo(told, err=True),
        )
