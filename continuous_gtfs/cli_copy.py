"""The command that copies a store to another: to move to a bucket, to another bucket, or back. Imports late."""

from __future__ import annotations

import click


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Write nothing; say what would be copied.")
@click.option(
    "--replace-changed",
    "may_replace",
    is_flag=True,
    help="Also replace manifests, pointers, records and packs that an earlier copy has written and that changed since.",
)
def copy(source: str, target: str, is_dry_run: bool, may_replace: bool) -> None:
    """Copy all objects of the store FROM to the store TO: folders, or buckets as gs://BUCKET/FOLDER.

    Nothing at FROM is changed, and nothing at TO is written over but what --replace-changed allows. Each object's
    digest is checked; manifests and pointers come last. What is there already is left, so the same command again goes
    on after it was broken off. Exits with 1 where an object differs, is damaged, or a store failed; with 2 where
    nothing could be done.
    """
    from continuous_gtfs.artifacts.copying import copy_store
    from continuous_gtfs.artifacts.opening import open_store

    copied = copy_store(
        open_store(source), open_store(target), is_dry_run=is_dry_run, may_replace=may_replace, told=_tell
    )
    click.echo(copied.text(is_dry_run=is_dry_run), nl=False)
    if not copied.is_whole:
        raise SystemExit(1)


def _tell(done: int, of: int) -> None:
    """A line a thousand objects: a large archive takes minutes."""
    if done and done // 1000 != max(0, done - 8) // 1000:
        click.echo(f"{done} of {of} objects", err=True)
