"""Resources: adapters from configuration to the plain objects of the pure layers.

Values are read when a run or a tick needs them, never at import.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from dagster import ConfigurableResource, MetadataValue

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.manifest import PublishedObject
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.transformed import TransformedFeeds
from continuous_gtfs.pims.client import PimsClient
from continuous_gtfs.pims.secrets_opening import open_secrets


class Artifacts(ConfigurableResource["Artifacts"]):
    """Where feeds are kept.

    Attributes:
        archive_url: Private store of raw and transformed versions: a folder or a store URL.
        published_url: Store that consumers read from.
    """

    archive_url: str
    published_url: str

    def archive(self) -> Archive:
        return Archive(open_store(self.archive_url))

    def transformed(self) -> TransformedFeeds:
        return TransformedFeeds(open_store(self.archive_url))

    def publisher(self) -> Publisher:
        return Publisher(open_store(self.published_url))

    def read_published(self, published: PublishedObject) -> bytes:
        """The bytes of a published object, from the key that never changes."""
        return open_store(self.published_url).read(published.version_path)

    def link(self, key: str) -> MetadataValue[Any]:
        """Where a person finds an object of the archive: a path, or a URL where the store has one."""
        url = self.archive_url
        if url.startswith("gs://"):
            # A browser knows no gs:// URLs.
            folder = url.removeprefix("gs://").rstrip("/")
            return MetadataValue.url(f"https://storage.googleapis.com/{quote(f'{folder}/{key}')}")
        if "://" in url and not url.startswith("file:"):
            return MetadataValue.url(f"{url.rstrip('/')}/{key}")
        return MetadataValue.path(str(Path(url.removeprefix("file://"), key)))


class Operator(ConfigurableResource["Operator"]):
    """What an operator decides for one run, given in its run config under ``resources: operator: config``.

    Attributes:
        accept: Checks and notice codes, comma-separated, whose failure is a warning in this run. The run tag
            ``continuous_gtfs/accept`` says the same.
    """

    accept: str = ""


class VendorAccess(ConfigurableResource["VendorAccess"]):
    """How the vendor is reached. Base URLs and tokens are looked up in the environment at each request."""

    def client(self) -> PimsClient:
        import os

        return PimsClient(config=os.environ, secrets=open_secrets(os.environ))
