"""Where a process is killed and which processes die then: the whole list, and a plan drawn from it by a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from continuous_gtfs.demo.commands import CODE_REALTIME, CODE_SCHEDULE, DAEMON, POSTGRES, WEBSERVER
from continuous_gtfs_tests.chaos.supervised import BACKEND, CONTAINER, EVERYTHING, WARM, WORKER

_ARCHIVE = ("archive_bytes.inside", "archive_bytes", "archive_record.inside", "archive_record")
_CODE = ("fetch", *_ARCHIVE, "archive_newest.inside", "archive_newest")
_DAEMON = ("report", "cursor", "ask", "launch")
_PUBLISH = ("upload.inside", "upload", "pointer.inside", "pointer", "stable_url.inside", "stable_url")
_WORKER = {
    "realtime": ("worker", "read", *_PUBLISH, "materialize", "keep.inside", "keep", "success"),
    "schedule": ("transform", "transformed.inside", "transformed", *_PUBLISH, "materialize", "success"),
}
STAGES = tuple(
    f"{pipeline}.{stage}"
    for pipeline in ("realtime", "schedule")
    for stage in (*_CODE, *_DAEMON, *(("fork",) if pipeline == "realtime" else ()), *_WORKER[pipeline])
)
"""``<pipeline>.<stage>``: just before the step; ``.inside``: its bytes are written and not yet in place."""

_CODE_OF = {"realtime": CODE_REALTIME, "schedule": CODE_SCHEDULE}
# The process that is at the stage dies most often.
_SELF_SHARE = 0.4
_WEBSERVER_TOO = 0.08
_BURSTS = (1, 1, 4, 8, 12, 16)


@dataclass(frozen=True, slots=True)
class Kill:
    """Who dies when a process has come to a stage."""

    stage: str
    victims: tuple[str, ...]

    @property
    def pipeline(self) -> str:
        return self.stage.partition(".")[0]


def bursts(seed: int, stages: tuple[str, ...] = STAGES, *, longest: int = max(_BURSTS)) -> Iterator[tuple[Kill, ...]]:
    """Kills without end: those of ``plan``, some alone and some a few in a row with no time to recover.

    Args:
        seed: Of the plan.
        stages: Those of the plan.
        longest: No more than so many in a row.
    """
    chance, kills = random.Random(seed), plan(seed, stages)
    while True:
        count = min(chance.choice(_BURSTS), longest)
        # A stage that comes again so soon, at the turn of the plan, is left for another time.
        yield tuple({kill.stage: kill for kill in itertools.islice(kills, count)}.values())


def alone(seed: int, stages: tuple[str, ...] = STAGES) -> Iterator[tuple[Kill, ...]]:
    """Kills of one process each, every process once before any comes again: how long is it missed?"""
    chance = random.Random(seed)
    own = {stage: _own(stage) for stage in stages}
    victims = [*dict.fromkeys((victim, stage.partition(".")[0]) for stage, victim in own.items())]
    victims += [(victim + CONTAINER, pipeline) for victim, pipeline in victims if victim not in (WORKER, WARM)]
    victims += [(victim, "") for victim in (WEBSERVER, POSTGRES, BACKEND, EVERYTHING)]
    while True:
        chance.shuffle(victims)
        for victim, pipeline in victims:
            name = victim.removesuffix(CONTAINER)
            at = [s for s in stages if s.startswith(pipeline) and (own[s] == name or not pipeline)]
            yield (Kill(chance.choice(at), (victim,)),)


def plan(seed: int, stages: tuple[str, ...] = STAGES) -> Iterator[Kill]:
    """Kills without end, each stage once before any comes again."""
    chance = random.Random(seed)
    while True:
        deck = list(stages)
        chance.shuffle(deck)
        for stage in deck:
            victims = _victims(stage, chance)
            if chance.random() < _WEBSERVER_TOO and WEBSERVER not in victims and EVERYTHING not in victims:
                victims = (*victims, WEBSERVER)
            yield Kill(stage, victims)


def _own(stage: str) -> str:
    """The process that is at the stage."""
    pipeline, _, name = stage.partition(".")
    if name in _CODE:
        return _CODE_OF[pipeline]
    if name in _DAEMON:
        return DAEMON
    return WARM if name == "fork" else WORKER


def _victims(stage: str, chance: random.Random) -> tuple[str, ...]:
    pipeline, _, name = stage.partition(".")
    code, own = _CODE_OF[pipeline], _own(stage)
    if name in _CODE:
        others: list[tuple[str, ...]] = [(code + CONTAINER,), (DAEMON,), (code, DAEMON)]
    elif name in _DAEMON:
        others = [(DAEMON + CONTAINER,), (code,), (DAEMON, POSTGRES), (DAEMON, code)]
    elif name == "fork":
        others = [(DAEMON,), (DAEMON + CONTAINER,), (WARM, code)]
    elif pipeline == "realtime":
        others = [(WARM,), (WORKER, WARM), (DAEMON,), (DAEMON + CONTAINER,), (WORKER, DAEMON)]
    else:
        others = [(code,), (code + CONTAINER,), (DAEMON,), (WORKER, code)]
    if chance.random() < _SELF_SHARE:
        return (own,)
    return chance.choice([*others, (POSTGRES,), (BACKEND,), (EVERYTHING,)])
