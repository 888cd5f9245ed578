"""Looking for a secret in everything that a platform keeps, shows and sends, in every form that it may take there."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import subprocess
import urllib.request
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq

from continuous_gtfs.demo.postgres import binaries
from continuous_gtfs_tests.end_to_end.deployment import Deployment

# Of a secret at least three times as long, its ends are looked for as well: a text may be cut.
END_CHARACTERS = 8


def written_forms(secret: str) -> dict[str, bytes]:
    """A secret as text, in a URL, in JSON, in hexadecimal and in base64 (at each of the three alignments, without
    the loose ends), and its two ends."""
    raw = secret.encode()
    forms = {
        "plain": raw,
        "quoted": quote(secret, safe="").encode(),
        "quoted for a form": quote_plus(secret).encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "hex": raw.hex().encode(),
    }
    for shift in range(3):
        encoded = b64encode(b"\0" * shift + raw)
        whole = encoded[(0, 2, 3)[shift] : len(encoded) - 4]
        forms[f"base64, {shift}"] = whole
        forms[f"base64 of URLs, {shift}"] = whole.replace(b"+", b"-").replace(b"/", b"_")
    if len(secret) >= 3 * END_CHARACTERS:
        forms["beginning"] = secret[:END_CHARACTERS].encode()
        forms["end"] = secret[-END_CHARACTERS:].encode()
    return forms


def unwrapped(data: bytes) -> Iterator[bytes]:
    """The bytes, and what they hold compressed: zlib (Dagster's snapshots), gzip, zip, Parquet."""
    yield data
    if data[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        yield zlib.decompress(data)
    elif data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield archive.read(name)
    elif data[:4] == b"PAR1":
        for row in pq.read_table(io.BytesIO(data)).to_pylist():
            for value in row.values():
                yield value if isinstance(value, bytes) else repr(value).encode()


def places_with(secret: str, places: Mapping[str, bytes]) -> set[str]:
    """The places that hold the secret in any form; in small letters too, as host names are written."""
    forms = {form.lower() for form in written_forms(secret).values()}
    return {
        place
        for place, data in places.items()
        for content in map(bytes.lower, unwrapped(data))
        if any(form in content for form in forms)
    }


def database(url: str) -> dict[str, bytes]:
    """Every table of the database as text, and every binary value by itself."""
    command = [binaries() / "pg_dump", "--data-only", "--inserts", url]
    dump = subprocess.run(command, capture_output=True, check=True).stdout
    found = {"database": dump}
    for number, value in enumerate(set(re.findall(rb"'\\x([0-9a-f]{4,})'", dump))):
        found[f"database, binary value {number}"] = bytes.fromhex(value.decode())
    return found


def user_interface(deployment: Deployment) -> dict[str, bytes]:
    """What the webserver tells: of the instance, locations, runs and their events, assets, checks, sensors, ticks."""
    error = "{ message stack causes { message stack } }"
    entries = """metadataEntries { label description ... on TextMetadataEntry { text }
        ... on MarkdownMetadataEntry { mdStr } ... on JsonMetadataEntry { jsonString } ... on UrlMetadataEntry { url }
        ... on PathMetadataEntry { path } ... on TableMetadataEntry { table { records } } }"""
    answers = [
        _graphql(
            deployment,
            f"""{{
      instance {{ info }}
      workspaceOrError {{ ... on Workspace {{ locationEntries {{ name displayMetadata {{ key value }}
        locationOrLoadError {{ __typename ... on PythonError {error} }} }} }} }}
      runsOrError {{ ... on Runs {{ results {{ runId tags {{ key value }} runConfigYaml }} }} }}
      assetsOrError {{ ... on AssetConnection {{ nodes {{
        definition {{ description {entries} }}
        assetMaterializations(limit: 20) {{ description {entries} tags {{ key value }} }} }} }} }}
      repositoriesOrError {{ ... on RepositoryConnection {{ nodes {{ sensors {{ name description sensorState {{
        typeSpecificData {{ ... on SensorData {{ lastCursor }} }}
        ticks(limit: 100) {{ error {error} cursor skipReason logEvents {{ events {{ message }} }} }} }} }} }} }} }}
    }}""",
        )
    ]
    failed = deployment.instance.get_runs(limit=40)
    answers += [
        _graphql(
            deployment,
            f"""{{ logsForRun(runId: "{run.run_id}") {{ ... on EventConnection {{ events {{
              ... on MessageEvent {{ message }}
              ... on ExecutionStepFailureEvent {{ error {error} failureMetadata {{ {entries} }} }}
              ... on AssetCheckEvaluationEvent {{ evaluation {{ checkName description {entries} }} }}
              ... on MaterializationEvent {{ {entries} }} }} }} }} }}""",
        )
        for run in failed
        if run.is_failure
    ]
    return {f"user interface, answer {number}": answer for number, answer in enumerate(answers)}


def _graphql(deployment: Deployment, query: str) -> bytes:
    request = urllib.request.Request(
        f"{deployment.platform.url('webserver')}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: bytes = response.read()
    assert not json.loads(answer).get("errors"), answer[:2000]
    return answer


def files(state: Path) -> dict[str, bytes]:
    """Logs, compute logs, archive, manifests, published files, reports: all but the settings and PostgreSQL's own."""
    found = {}
    for path in state.rglob("*"):
        if path.is_file() and path != state / "env" and "postgres" not in path.parts:
            with contextlib.suppress(FileNotFoundError):
                found[str(path.relative_to(state))] = path.read_bytes()
    return found


def command_lines() -> dict[str, bytes]:
    """Of every process of this machine."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[str(path)] = path.read_bytes()
    return found
