"""The tables of the chaos run: kills by stage and process, and how long until all was well again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tables import median, percentile, print_table

from continuous_gtfs_tests.chaos.campaign import Killed, Round
from continuous_gtfs_tests.chaos.stages import STAGES

_ROWS = ((2, 5), (6, 9), (10, 99))


def print_rounds(rounds: Sequence[Round]) -> None:
    killed = [each for found in rounds for each in found.killed]
    if killed:
        _print_kills(killed)
        _print_recovery(killed)
    if any(found.faults for found in rounds):
        _print_faults([item for found in rounds for item in found.faults.items()])
    figures: Counter[str] = Counter()
    for found in rounds:
        figures.update(found.figures)
    seeds = ", ".join(str(found.seed) for found in rounds)
    print_table(
        f"What came of it (seeds {seeds})",
        ("figure", "count"),
        [
            ["kills, each at a stage", str(len(killed))],
            ["processes killed by name", str(sum(len(each.victims) for each in killed))],
            ["stages not reached in time", str(sum(len(found.not_reached) for found in rounds))],
            *([name, str(count)] for name, count in figures.items()),
            ["invariants broken", str(sum(len(found.broken) for found in rounds))],
        ],
    )


def _print_kills(killed: Sequence[Killed]) -> None:
    pipelines = ("realtime", "schedule")
    at = Counter(each.stage for each in killed)
    stages = [stage for stage in STAGES if at[stage]]
    steps = dict.fromkeys(stage.partition(".")[2] for stage in stages)
    rows = [[step, *(str(at[f"{pipeline}.{step}"] or "") for pipeline in pipelines)] for step in steps]
    print_table("Kills by stage", ("just before, or inside", *pipelines), rows)
    victims = Counter((victim, each.stage.partition(".")[0]) for each in killed for victim in each.victims)
    together = Counter(victim for each in killed for victim in each.victims if len(each.victims) > 1)
    rows = [
        [name, *(str(victims[name, pipeline] or "") for pipeline in pipelines), str(together[name] or "")]
        for name in sorted({name for name, _ in victims})
    ]
    print_table("Kills by process", ("killed", *(f"at a {each} stage" for each in pipelines), "with others"), rows)


def _print_faults(faults: Sequence[tuple[str, Mapping[str, float]]]) -> None:
    told = ("failed runs", "failed ticks", "failed checks", "lines in logs")
    rows = [
        [
            name,
            *(f"{of[each]:.0f}" for each in ("held_s", "realtime_s", "schedule_s")),
            *(str(int(of[each]) or "") for each in told),
        ]
        for name, of in faults
    ]
    columns = ("fault", "held s", "realtime well after s", "schedule well after s", *told)
    print_table("Faults, and what told of each", columns, rows)


def _print_recovery(killed: Sequence[Killed]) -> None:
    groups: dict[str, list[Killed]] = defaultdict(list)
    for each in killed:
        if each.realtime_s is not None:
            groups[_group(each)].append(each)
    rows = [
        [name, str(len(each)), *_spread(k.realtime_s for k in each), *_spread(k.schedule_s for k in each)]
        for name, each in sorted(groups.items(), key=lambda item: (item[1][0].burst, item[0]))
    ]
    columns = ("killed", "n", "realtime p50", "p95", "longest", "schedule p50", "p95", "longest")
    print_table("Seconds until what the vendor had after the kill was live", columns, rows)


def _group(each: Killed) -> str:
    if each.burst > 1:
        return next(
            f"{low} to {high} kills in a row".replace(" to 99", " and more")
            for low, high in _ROWS
            if each.burst <= high
        )
    return each.victims[0] if len(each.victims) == 1 else "two or three of them at once"


def _spread(seconds: Iterable[float | None]) -> list[str]:
    values = [each for each in seconds if each is not None]
    if not values:
        return ["", "", ""]
    return [f"{value:.1f}" for value in (median(values), percentile(values, 0.95), max(values))]
