"""The transformed schedule: a graph of one op a step, from the vendor's version to the stored feed.

Not here: what the ops do (``schedule_ops``), the gates behind them (``schedule_validation``, ``schedule_checks``), the
difference to what is published (``schedule_diff``) and publication (``schedule_publication``).
"""

from collections.abc import Sequence

from dagster import (
    AssetIn,
    AssetsDefinition,
    BackfillPolicy,
    DynamicPartitionsDefinition,
    Nothing,
    OpDefinition,
    graph_asset,
)

from continuous_gtfs import __version__
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.beta import knowingly_beta
from continuous_gtfs.defs.schedule_ops import read_version_op, step_op, store_transformed_op
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.step import Step


def transformed_feed_assets(
    agency: Agency, steps: Sequence[Step[Feed]], partitions: dict[str, DynamicPartitionsDefinition]
) -> list[AssetsDefinition]:
    """``schedule/<environment>/transformed_feed`` for each environment; the step ops are shared."""
    step_ops = [step_op(step) for step in steps]
    store = store_transformed_op(steps)
    return [
        _transformed_feed(agency, environment, steps, step_ops, store, partitions_def)
        for environment, partitions_def in partitions.items()
    ]


@knowingly_beta()
def _transformed_feed(
    agency: Agency,
    environment: str,
    steps: Sequence[Step[Feed]],
    step_ops: Sequence[OpDefinition],
    store: OpDefinition,
    partitions_def: DynamicPartitionsDefinition,
) -> AssetsDefinition:
    read = read_version_op(environment)

    @graph_asset(
        key=keys.transformed_feed_key(environment),
        group_name=f"schedule_{environment}",
        description=f"{agency.title}'s {environment} schedule after its {len(steps)} steps; each step is an op.",
        kinds={"gtfs"},
        partitions_def=partitions_def,
        backfill_policy=BackfillPolicy.single_run(),
        code_version=code_version(steps, __version__),
        ins={"vendor_feed": AssetIn(keys.pims_key(environment, "schedule"), dagster_type=Nothing)},
    )
    def transformed_feed(vendor_feed):  # type: ignore[no-untyped-def]
        progress = read(vendor_feed)
        for one_step in step_ops:
            progress = one_step(progress)
        return store(progress)

    return transformed_feed
