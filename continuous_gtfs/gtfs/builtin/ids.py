"""RewriteIds: one kind of id changed by a regular expression wherever it stands."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.builtin.selection import counted, missing, require_where
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.keys import PADDING, Mask
from continuous_gtfs.gtfs.spec import DEFINED_IN, REFERENCES, TRANSLATED_RECORDS, TRANSLATIONS
from continuous_gtfs.gtfs.where import Where
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import Step, StepContext


@dataclass(frozen=True)
class RewriteIds(Step[Feed]):
    """Rewrite an id where it is defined and everywhere it is referred to.

    Attributes:
        id: Which id, by the name of its field: ``trip_id``, ``stop_id``, ``service_id``, ``zone_id`` …
        pattern: A regular expression; every match in an id is replaced (``re.sub``: anchor it with ``^`` and ``$``).
        replacement: What takes its place; ``\\1`` is the first group.
        where: Only ids that a row matches which defines them.
        required: That no id changes fails the run.

    Two ids that would become one fail the step: which of the two a reference then means could not be told.
    """

    id: str
    pattern: str
    replacement: str
    where: Where | None = None
    _: KW_ONLY
    required: bool = False
    name: str = ""
    files: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        entity = self.id.removesuffix("_id")
        if entity not in DEFINED_IN or not self.id.endswith("_id"):
            raise StepDefinitionError(
                f"RewriteIds({self.id!r}): no such id; choose from {', '.join(f'{name}_id' for name in DEFINED_IN)}"
            )
        try:
            re.compile(self.pattern)
            re.sub(self.pattern, self.replacement, "")
        except (re.error, IndexError) as error:
            raise StepDefinitionError(f"RewriteIds({self.id!r}): {self.pattern!r}: {error}") from None
        if self.where is not None:
            require_where("rewrite_ids", self.where)
        object.__setattr__(self, "name", self.name or f"rewrite_{self.id}s")
        object.__setattr__(self, "files", frozenset(file for file, _ in _places(entity)) | {TRANSLATIONS})

    @property
    def counted_files(self) -> frozenset[str]:
        return frozenset()

    def apply(self, feed: Feed, context: StepContext) -> None:
        entity = self.id.removesuffix("_id")
        known, chosen = self._ids(feed, entity)
        made = {old: re.sub(self.pattern, self.replacement, old).strip(PADDING) for old in sorted(chosen)}
        renamed = {old: new for old, new in made.items() if new != old}
        if not renamed:
            missing(
                self, context, "nothing_matched", f"no {self.id} matches {self.pattern!r}", DEFINED_IN[entity][0][0]
            )
            return
        collisions = _collisions(renamed, known)
        if collisions:
            message = f"{len(collisions):,} {self.id}s would take the name of another: {', '.join(collisions[:3])}"
            context.find(
                Finding("error", "ids_collide", message, DEFINED_IN[entity][0][0], len(collisions), tuple(collisions))
            )
            return
        for file, column in _places(entity):
            if feed.has_column(file, column):
                self._rewrite(feed, file, column, feed.keys(file, column).is_in(renamed.keys()), renamed, context)
        if feed.has_column(TRANSLATIONS, "record_id") and feed.has_column(TRANSLATIONS, "table_name"):
            tables = {table for table, kind in TRANSLATED_RECORDS.items() if kind == entity}
            rows = feed.keys(TRANSLATIONS, "table_name").is_in(tables)
            rows &= feed.keys(TRANSLATIONS, "record_id").is_in(renamed.keys())
            self._rewrite(feed, TRANSLATIONS, "record_id", rows, renamed, context)

    def _ids(self, feed: Feed, entity: str) -> tuple[frozenset[str], frozenset[str]]:
        """All ids of the kind, and those that the step is about."""
        known: frozenset[str] = frozenset()
        chosen: frozenset[str] = frozenset()
        for file, column in DEFINED_IN[entity]:
            if not feed.has_column(file, column):
                continue
            raw, keys = feed.raw(file), feed.keys(file, column)
            known |= keys.present()
            if self.where is None:
                chosen |= keys.present()
            elif self.where.fields <= set(raw.columns):
                chosen |= keys.at(self.where.matches(raw)).present()
        return known, chosen

    def _rewrite(
        self, feed: Feed, file: str, column: str, rows: Mask, renamed: dict[str, str], context: StepContext
    ) -> None:
        if not rows.any():
            return
        context.find(counted("ids_rewritten", f"of {file} have another {column}", feed, file, rows))
        new = [renamed[old] for old in feed.keys(file, column).at(rows).texts()]
        feed.set_cells(file, rows, {column: new})


def _places(entity: str) -> list[tuple[str, str]]:
    refer = [(reference.file, reference.column) for reference in REFERENCES if reference.entity == entity]
    return list(dict.fromkeys([*DEFINED_IN[entity], *refer]))


def _collisions(renamed: dict[str, str], known: frozenset[str]) -> list[str]:
    """Names that two ids would have, as ``new (from old)``; a blank is nobody's name."""
    taken = {name: name for name in known - renamed.keys()}
    found = []
    for old, new in renamed.items():
        if not new.strip() or new in taken:
            found.append(f"{new!r} (from {old})")
        taken[new] = old
    return found
