"""Is anything lost, torn, repeated or stuck when processes are killed, hundreds of times, at every stage?

The whole platform under load, a supervisor that restarts what dies, a reader that polls everything published, and
kill -9 of each process at each stage. Exit code 1, with the events around it, where an invariant does not hold.

    python benchmarks/chaos.py --kills 300                 rounds of 30 kills, a platform and a seed each
    python benchmarks/chaos.py --seed 7 --kills 30         the round of seed 7 again
    python benchmarks/chaos.py --alone --kills 30          one process at a time: how long is it missed?
    python benchmarks/chaos.py --faults                    faults of the network, the disk and the clock
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chaos_tables import print_rounds

from continuous_gtfs_tests.artifacts.cloud import cloud_server
from continuous_gtfs_tests.chaos import faults
from continuous_gtfs_tests.chaos.campaign import Campaign, Round
from continuous_gtfs_tests.chaos.stages import STAGES, Kill, alone, bursts

KILLS_A_ROUND = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="how many in all")
    parser.add_argument("--a-round", type=int, default=KILLS_A_ROUND, help="how many before a new platform")
    parser.add_argument("--minutes", type=float, default=10.0, help="a round ends after so many, however many kills")
    parser.add_argument("--rounds", type=int, default=1_000, help="no more than so many, however few kills")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next ones count on")
    parser.add_argument("--in-a-row", type=int, default=16, help="no more than so many before all is well again")
    parser.add_argument("--alone", action="store_true", help="each process by itself, and all well again in between")
    parser.add_argument("--only", default="", help="stages that begin with this")
    parser.add_argument("--json", type=Path, help="rounds are added to this file, and the tables are of all in it")
    parser.add_argument("--state", type=Path, help="a folder that is kept, for a single round")
    parser.add_argument("--faults", action="store_true", help="faults in place of kills")
    parser.add_argument("--fault", default="", help="only faults whose name begins with this")
    parser.add_argument("--cloud", action="store_true", help="faults of a bucket that is the archive")
    options = parser.parse_args()
    rounds = _known(options.json)
    if options.faults or options.fault or options.cloud:
        found = _faults(options)
        return _finish([*rounds, found], options.json, [found])
    stages = tuple(stage for stage in STAGES if stage.startswith(options.only))
    left, seed = options.kills, options.seed
    new: list[Round] = []
    while left > 0 and len(new) < options.rounds:
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            state = options.state or Path(folder)
            plan = alone(seed, stages) if options.alone else bursts(seed, stages, longest=options.in_a_row)
            new.append(_round(seed, min(left, options.a_round), options.minutes, plan, state))
            _keep([*rounds, *new], options.json)
            _tell(new[-1])
        left, seed = left - len(new[-1].killed), seed + 1
    return _finish([*rounds, *new], options.json, new)


def _round(seed: int, kills: int, minutes: float, plan: Iterable[tuple[Kill, ...]], state: Path) -> Round:
    campaign = Campaign(state, seed=seed)
    with campaign.running():
        over = time.monotonic() + minutes * 60
        for burst in plan:
            left = kills - len(campaign.round.killed)
            if time.monotonic() > over or left <= 0:
                break
            sys.stdout.write(f"{campaign.kill(burst[:left])}\n")
            sys.stdout.flush()
        campaign.end()
    return campaign.round


def _faults(options: argparse.Namespace) -> Round:
    """Every fault that can be made here, one after another, on one platform."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, ExitStack() as stack:
        state = options.state or Path(folder)
        environment, wanted = _surroundings(options, state, stack)
        campaign = Campaign(state, seed=options.seed, schedule_every_s=None, environment=environment)
        with campaign.running():
            for fault in (fault for fault in wanted if fault.name.startswith(options.fault)):
                sys.stdout.write(f"{faults.hold(campaign, fault)}\n")
                sys.stdout.flush()
            campaign.end()
        _tell(campaign.round)
        return campaign.round


def _surroundings(
    options: argparse.Namespace, state: Path, stack: ExitStack
) -> tuple[dict[str, str], Sequence[faults.Fault]]:
    """What is set up around a platform so that faults can be made, and which faults those are."""
    if options.cloud:
        server = stack.enter_context(cloud_server())
        os.environ["STORAGE_EMULATOR_HOST"] = server.url
        return {faults.ARCHIVE: f"gs://{server.make_bucket()}/kept"}, [faults.cloud_storage_stopped(server.pid)]
    environment: dict[str, str] = {}
    wanted = list(faults.FAULTS)
    if stack.enter_context(faults.mounted_small_disk(state)):
        disk = faults.small_disk(state)
        environment |= {faults.ARCHIVE: str(disk / "archive"), faults.PUBLISHED: str(disk / "published")}
        wanted += faults.DISK_FAULTS
    else:
        sys.stdout.write("not done: a full disk, a read-only disk (no right to mount one)\n")
    if (clock := faults.clock_settings(state)) is not None:
        environment |= clock
        wanted += faults.CLOCK_FAULTS
    else:
        sys.stdout.write("not done: the clock set (no C compiler)\n")
    return environment, wanted


def _keep(rounds: Sequence[Round], path: Path | None) -> None:
    if path:
        path.write_text(json.dumps([each.to_dict() for each in rounds]))


def _finish(rounds: Sequence[Round], path: Path | None, new: Sequence[Round]) -> int:
    _keep(rounds, path)
    print_rounds(rounds)
    return 1 if any(found.broken for found in new) else 0


def _known(path: Path | None) -> list[Round]:
    return [Round.from_dict(each) for each in json.loads(path.read_text())] if path and path.exists() else []


def _tell(found: Round) -> None:
    done = f"{len(found.killed)} kills, {len(found.faults)} faults"
    sys.stdout.write(f"seed {found.seed}: {done}, {len(found.broken)} invariants broken\n")
    for line in (*found.broken, *(["", "what happened around that:", *found.evidence] if found.broken else [])):
        sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
