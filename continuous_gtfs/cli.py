"""`continuous-gtfs`: the command line. Reads options, calls one function a command, turns errors into one line.

Each command imports what it runs when it runs: `--help` answers at once, and the stand-in vendor does not load
what only the demo needs. The commands on feeds lie in modules of their own.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from continuous_gtfs import __version__
from continuous_gtfs.errors import (
    ConfigurationError,
    ContinuousGtfsError,
    FeedStructureError,
    StepDefinitionError,
    UnreadableMessageError,
)
from continuous_gtfs.foreign_text import shown
from continuous_gtfs.setting_names import misspelt

USER_ERROR = 2
FAILED = 1

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
PORT = click.IntRange(1, 65535)


class _Commands(click.Group):
    """The commands of this module, and those of others, imported when one is named or help lists them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        others = [
            "schedule",
            "digest",
            "validate",
            "diff",
            "realtime",
            "compare",
            "runs",
            "status",
            "maintain",
            "copy",
            "alerts",
            "metrics",
            "report-archive",
        ]
        return [*super().list_commands(ctx), *others]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "schedule":
            from continuous_gtfs.cli_schedule import schedule

            return schedule
        if cmd_name in ("digest", "validate", "diff"):
            from continuous_gtfs import cli_feeds

            return {"digest": cli_feeds.digest, "validate": cli_feeds.validate, "diff": cli_feeds.diff}[cmd_name]
        if cmd_name == "realtime":
            from continuous_gtfs.cli_realtime import realtime

            return realtime
        if cmd_name == "compare":
            from continuous_gtfs.cli_compare import compare

            return compare
        if cmd_name == "runs":
            from continuous_gtfs.cli_runs import runs

            return runs
        if cmd_name == "status":
            from continuous_gtfs.cli_status import status

            return status
        if cmd_name == "maintain":
            from continuous_gtfs.cli_maintain import maintain

            return maintain
        if cmd_name == "copy":
            from continuous_gtfs.cli_copy import copy

            return copy
        if cmd_name == "alerts":
            from continuous_gtfs.cli_alerts import alerts

            return alerts
        if cmd_name == "metrics":
            from continuous_gtfs.cli_metrics import metrics

            return metrics
        if cmd_name == "report-archive":
            from continuous_gtfs.cli_archive import report_archive

            return report_archive
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="continuous-gtfs")
def cli() -> None:
    """Continuous publishing of GTFS Schedule and GTFS-Realtime feeds on Dagster."""


@cli.command()
@click.option("--port-base", type=int, default=4000, show_default=True, help="First of five ports in a row.")
@click.option("--state", type=FOLDER, default=Path(".demo"), show_default=True, help="Folder of all that is kept.")
@click.option("--replay", type=EXISTING_FOLDER, help="Serve this folder of captures, not the generated agency.")
@click.option("--for", "for_s", type=click.FloatRange(min=0, min_open=True), help="Run this many seconds, then stop.")
@click.option("--json", "json_path", type=FILE, help="Write a summary to this file at the end.")
@click.option(
    "--realtime-every",
    type=click.FloatRange(min=1),
    default=20.0,
    show_default=True,
    help="Seconds from one realtime version of the stand-in vendor to the next.",
)
@click.option("--schedule-every", type=click.FloatRange(min=1), help="The same for the schedule; else it stays.")
def demo(
    port_base: int,
    state: Path,
    replay: Path | None,
    for_s: float | None,
    json_path: Path | None,
    realtime_every: float,
    schedule_every: float | None,
) -> None:
    """Run the whole platform on this machine and show what it does; Ctrl-C ends it.

    Exits with 0 only when every pipeline published in time and nothing failed.
    """
    from rich.console import Console

    from continuous_gtfs.demo.run import DemoOptions, run_demo

    options = DemoOptions(
        state=state,
        port_base=port_base,
        replay=replay,
        for_s=for_s,
        json_path=json_path,
        realtime_every_s=realtime_every,
        schedule_every_s=schedule_every,
    )
    raise SystemExit(run_demo(options, Console()))


@cli.command()
@click.option("--port-base", type=int, default=4000, show_default=True, help="First of five ports in a row.")
@click.option("--state", type=FOLDER, default=Path(".demo"), show_default=True, help="Folder of all that is kept.")
@click.option("--replay", type=EXISTING_FOLDER, help="Serve this folder of captures, not the generated agency.")
@click.option("--realtime-every", type=click.FloatRange(min=1), default=20.0, show_default=True)
@click.option("--schedule-every", type=click.FloatRange(min=1))
def services(
    port_base: int, state: Path, replay: Path | None, realtime_every: float, schedule_every: float | None
) -> None:
    """Run what `dagster dev` needs beside it: PostgreSQL, the stand-in vendor, the published feeds."""
    from rich.console import Console

    from continuous_gtfs.demo.run import DemoOptions, run_services

    options = DemoOptions(
        state=state,
        port_base=port_base,
        replay=replay,
        realtime_every_s=realtime_every,
        schedule_every_s=schedule_every,
    )
    raise SystemExit(run_services(options, Console()))


@cli.command()
@click.argument("folder", type=FOLDER)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=4001, show_default=True)
def serve(folder: Path, host: str, port: int) -> None:
    """Serve a folder of published feeds over HTTP, read-only."""
    from continuous_gtfs.demo.static_server import serve as serve_folder

    serve_folder(folder, host=host, port=port)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=4010, show_default=True, help="0 takes a free one.")
@click.option("--replay", type=EXISTING_FOLDER, help="Serve this folder of captures, not the generated agency.")
@click.option("--keep-header-timestamps", is_flag=True, help="Replay header timestamps as captured.")
@click.option("--realtime-every", type=click.FloatRange(min=1), default=20.0, show_default=True)
@click.option("--schedule-every", type=click.FloatRange(min=1), help="Seconds to the next schedule; else on demand.")
@click.option("--trip-updates-lag", type=float, default=0.0, show_default=True, help="Seconds after the vehicles.")
@click.option("--jitter", type=float, default=0.0, show_default=True, help="Up to so many seconds late.")
@click.option("--scale", type=click.IntRange(1), default=1, show_default=True, help="Size of the generated agency.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--log-level", default="warning", show_default=True)
def simulate(
    host: str,
    port: int,
    replay: Path | None,
    keep_header_timestamps: bool,
    realtime_every: float,
    schedule_every: float | None,
    trip_updates_lag: float,
    jitter: float,
    scale: int,
    seed: int,
    log_level: str,
) -> None:
    """Serve a stand-in for the vendor's system, with faults on demand.

    Its tokens are those of PIMS_PRODUCTION_TOKEN and PIMS_QA_TOKEN; CONTINUOUS_GTFS_CONTROL_TOKEN guards the
    control endpoints when it listens beyond this machine.
    """
    from continuous_gtfs.simulator.server import SimulatorOptions, run_simulator

    run_simulator(
        SimulatorOptions(
            host=host,
            port=port,
            token_production=_required("PIMS_PRODUCTION_TOKEN"),
            token_qa=_required("PIMS_QA_TOKEN"),
            replay=replay,
            realtime_every_s=realtime_every,
            schedule_every_s=schedule_every,
            trip_updates_lag_s=trip_updates_lag,
            jitter_s=jitter,
            scale=scale,
            seed=seed,
            shift_to_now=not keep_header_timestamps,
            control_token=os.environ.get("CONTINUOUS_GTFS_CONTROL_TOKEN", ""),
            log_level=log_level,
        )
    )


@cli.command()
def version() -> None:
    """Say which release runs: of the pipeline (the image's tag), of this package, and of what it stands on."""
    import platform
    from importlib.metadata import version as installed

    from continuous_gtfs.pipeline_version import pipeline_version

    click.echo(f"pipeline         {pipeline_version(os.environ)}")
    click.echo(f"continuous-gtfs  {__version__}")
    click.echo(f"dagster          {installed('dagster')}")
    click.echo(f"python           {platform.python_version()}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. What a user did wrong is one line and exit code 2, never a traceback."""
    # Imports make objects that stay: looking for garbage among them at every 700th takes a short run 4 % of its time.
    gc.set_threshold(100_000, 20, 20)
    # No command does linear algebra; starting its threads would take NumPy half of its import.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Arrow's own allocator keeps what was freed: a fifth of the memory of a short run.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    sys.stderr.writelines(f"warning: {line}\n" for line in misspelt(os.environ))
    try:
        code = cli.main(args=arguments, prog_name="continuous-gtfs", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        raise SystemExit(USER_ERROR) from None
    except click.ClickException as error:
        _fail(error.format_message(), USER_ERROR)
    except (ConfigurationError, FeedStructureError, StepDefinitionError, UnreadableMessageError) as error:
        _fail(str(error), USER_ERROR)
    except ContinuousGtfsError as error:
        _fail(str(error), FAILED)
    except OSError as error:
        # Looking for a file by a name that no file can have; all else is no mistake of the user's.
        if error.errno != errno.ENAMETOOLONG:
            raise
        _fail(f"the name of a file is too long: {str(error.filename)[:100]}...", USER_ERROR)
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    finally:
        # The interpreter ends with several more looks for garbage, a tenth of a short run, before all goes anyway.
        gc.freeze()
    raise SystemExit(code or 0)


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ConfigurationError(f"{name} is not set: it is the token that the stand-in asks its clients for")
    return value


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"error: {' '.join(shown(message).split())}\n")
    raise SystemExit(code)
