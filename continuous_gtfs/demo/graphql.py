"""Asking the running webserver: one GraphQL query for runs, sensors and vendor versions. Judges nothing."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from continuous_gtfs.errors import TransientError

TIMEOUT_S = 20.0

ACTIVITY = """
query Activity($runs: RunsFilter!, $since: Float!, $sinceMillis: String!) {
  runsOrError(filter: $runs, limit: 500) {
    ... on Runs { results { runId jobName status creationTime startTime endTime tags { key value } } }
  }
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes {
        location { name }
        sensors {
          name
          sensorState {
            status
            typeSpecificData { ... on SensorData { lastCursor } }
            ticks(limit: 100, afterTimestamp: $since, statuses: [FAILURE]) {
              tickId
              timestamp
              error { message causes { message } }
            }
          }
        }
      }
    }
  }
  assetsOrError(prefix: ["pims"]) {
    ... on AssetConnection {
      nodes {
        key { path }
        assetMaterializations(limit: 500, afterTimestampMillis: $sinceMillis) { timestamp tags { key value } }
      }
    }
  }
}
"""


class WebserverError(TransientError):
    """The webserver did not answer a query, or refused it."""


def ask(url: str, query: str, variables: Mapping[str, object]) -> dict[str, Any]:
    """The ``data`` of the answer to one query.

    Raises:
        WebserverError: No answer, or an answer with errors.
    """
    request = urllib.request.Request(
        f"{url}/graphql",
        data=json.dumps({"query": query, "variables": dict(variables)}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            answer = json.load(response)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise WebserverError(f"{url}/graphql: {error}") from error
    if answer.get("errors") or not isinstance(answer.get("data"), dict):
        message = str((answer.get("errors") or [{}])[0].get("message", "no data"))
        raise WebserverError(f"{url}/graphql: {message}")
    data: dict[str, Any] = answer["data"]
    return data
