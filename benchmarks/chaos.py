"""Is anything lost, torn, repeated or stuck when processes are killed, hundreds of times, at every stage?

The whole platform under load, a supervisor that restarts what dies, a reader that polls everything published, and
kill -9 of each process at each stage. Exit code 1, with the events around it, where an invariant does not hold.

    python benchmarks/chaos.py --kills 300                 rounds of 30 kills, a platform and a seed each
    python benchmarks/chaos.py --seed 7 --kills 30         the round of seed 7 again
    python benchmarks/chaos.py --faults                    faults of the network, the disk and the clock
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chaos_tables import print_rounds

from continuous_gtfs_tests.chaos.campaign import Campaign, Round
from continuous_gtfs_tests.chaos.stages import STAGES, plan

KILLS_A_ROUND = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="how many in all")
    parser.add_argument("--a-round", type=int, default=KILLS_A_ROUND, help="how many before a new platform")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next ones count on")
    parser.add_argument("--only", default="", help="stages that begin with this")
    parser.add_argument("--json", type=Path, help="rounds are added to this file, and the tables are of all in it")
    parser.add_argument("--state", type=Path, help="a folder that is kept, for a single round")
    options = parser.parse_args()
    rounds = _known(options.json)
    stages = tuple(stage for stage in STAGES if stage.startswith(options.only))
    left, seed, is_broken = options.kills, options.seed, False
    while left > 0:
        found = _round(seed, min(left, options.a_round), stages, options.state)
        rounds.append(found)
        if options.json:
            options.json.write_text(json.dumps([each.to_dict() for each in rounds]))
        _tell(found)
        is_broken |= bool(found.broken)
        left, seed = left - options.a_round, seed + 1
    print_rounds(rounds)
    return 1 if is_broken else 0


def _round(seed: int, kills: int, stages: tuple[str, ...], state: Path | None) -> Round:
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        campaign = Campaign(state or Path(folder), seed=seed)
        with campaign.running():
            for kill in itertools.islice(plan(seed, stages), kills):
                campaign.kill(kill)
            campaign.end()
        return campaign.round


def _known(path: Path | None) -> list[Round]:
    return [Round.from_dict(each) for each in json.loads(path.read_text())] if path and path.exists() else []


def _tell(found: Round) -> None:
    sys.stdout.write(f"seed {found.seed}: {len(found.killed)} kills, {len(found.broken)} invariants broken\n")
    for line in (*found.broken, *(["", "what happened around that:", *found.evidence] if found.broken else [])):
        sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
