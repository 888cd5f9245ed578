"""Secret Manager: versions, the short memory, rotation, and that no answer is never taken for no secret."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from continuous_gtfs.errors import ConfigurationError, SecretsUnavailableError
from continuous_gtfs.pims.client import Body, PimsClient
from continuous_gtfs.pims.secrets import EnvironmentSecrets
from continuous_gtfs.pims.secrets_gcp import CACHED_S, GoogleSecrets
from continuous_gtfs.pims.secrets_opening import open_secrets, resolve_url
from continuous_gtfs.pims.targets import ALLOW_SETTING
from continuous_gtfs_tests.pims.fetching import could_not_tell, feed_source
from continuous_gtfs_tests.pims.raw_vendor import raw_vendor, response
from continuous_gtfs_tests.pims.secret_manager import SecretManager, secret_manager


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager() -> Iterator[SecretManager]:
    with secret_manager(TOKEN=[b"first\n", b"second"], BINARY=[b"\xff\xfe"]) as held:
        yield held


@pytest.fixture
def secrets(manager: SecretManager, clock: Clock) -> GoogleSecrets:
    fallback = EnvironmentSecrets({"TOKEN": "of the environment", "LOCAL": "local"})
    return GoogleSecrets("p-1", fallback=fallback, endpoint=manager.endpoint, clock=clock)


def test_the_newest_version_is_given_or_the_one_that_is_named(secrets: GoogleSecrets) -> None:
    assert secrets.get("TOKEN") == "second"
    assert secrets.get("TOKEN", "1") == "first"


def test_a_value_is_read_once_a_minute(secrets: GoogleSecrets, manager: SecretManager, clock: Clock) -> None:
    secrets.get("TOKEN")
    manager.values["TOKEN"].append(b"third")
    clock.now += CACHED_S - 1
    assert secrets.get("TOKEN") == "second"
    clock.now += 1
    assert secrets.get("TOKEN") == "third"
    assert manager.reads == ["TOKEN@latest"] * 2


def test_what_secret_manager_does_not_have_comes_from_the_environment(
    secrets: GoogleSecrets, manager: SecretManager
) -> None:
    assert secrets.get("LOCAL") == "local"
    assert secrets.get("LOCAL") == "local"
    assert manager.reads == ["LOCAL@latest"]
    with pytest.raises(ConfigurationError, match="NOWHERE of Secret Manager in project p-1 does not exist, and"):
        secrets.get("NOWHERE")


def test_a_pinned_version_is_not_looked_for_in_the_environment(secrets: GoogleSecrets) -> None:
    with pytest.raises(ConfigurationError, match="has no version 9"):
        secrets.get("TOKEN", "9")


def test_may_not_read_is_not_has_none(secrets: GoogleSecrets, manager: SecretManager) -> None:
    manager.status = 403
    with pytest.raises(ConfigurationError, match=r"TOKEN.*secretAccessor"):
        secrets.get("TOKEN")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_no_answer_is_not_has_none(secrets: GoogleSecrets, manager: SecretManager, status: int) -> None:
    manager.status = status
    with pytest.raises(SecretsUnavailableError, match="TOKEN"):
        secrets.get("TOKEN")


def test_a_disabled_version_and_one_that_is_no_text_are_said(secrets: GoogleSecrets, manager: SecretManager) -> None:
    with pytest.raises(ConfigurationError, match="no text"):
        secrets.get("BINARY")
    manager.status = 400
    with pytest.raises(ConfigurationError, match="disabled"):
        secrets.get("TOKEN")


def test_the_last_value_serves_an_hour_without_an_answer(
    secrets: GoogleSecrets, manager: SecretManager, clock: Clock
) -> None:
    secrets.get("TOKEN")
    manager.status = 503
    clock.now += 3600
    assert secrets.get("TOKEN") == "second"
    clock.now += 11
    with pytest.raises(SecretsUnavailableError):
        secrets.get("TOKEN")


def test_a_server_that_holds_its_answer_back_is_given_up(manager: SecretManager) -> None:
    manager.goes_on.clear()
    fallback = EnvironmentSecrets({"TOKEN": "of the environment"})
    with pytest.raises(SecretsUnavailableError):
        GoogleSecrets("p-1", fallback=fallback, endpoint=manager.endpoint, deadline_s=0.2).get("TOKEN")
    assert not manager.goes_on.is_set(), "the answer came before it was given up"


def test_only_the_refused_value_is_read_again(secrets: GoogleSecrets, manager: SecretManager) -> None:
    secrets.get("TOKEN")
    manager.values["TOKEN"].append(b"third")
    secrets.reject("TOKEN", "latest", "an older one")
    assert secrets.get("TOKEN") == "second"
    secrets.reject("TOKEN", "latest", "second")
    assert secrets.get("TOKEN") == "third"


def test_no_value_is_in_a_repr_or_an_error(secrets: GoogleSecrets, manager: SecretManager) -> None:
    secrets.get("TOKEN")
    assert "second" not in repr(secrets)
    manager.status = 500
    with pytest.raises(SecretsUnavailableError) as caught:
        secrets.get("TOKEN", "1")
    assert "other words" not in str(caught.value)


def test_a_fork_reads_for_itself(secrets: GoogleSecrets, manager: SecretManager, clock: Clock) -> None:
    secrets.get("TOKEN")
    clock.now += CACHED_S
    with secrets._lock:  # as another thread of the parent may hold it
        child = os.fork()
        if child == 0:
            os._exit(0 if secrets.get("TOKEN") == "second" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(manager.reads) == 2


def test_a_rotated_token_is_used_by_the_very_request_that_found_the_old_one_refused(
    secrets: GoogleSecrets, manager: SecretManager
) -> None:
    def vendor_of(token: str) -> object:
        return lambda head: [response(body=b"feed") if f": {token}\r\n" in head else response("401 Unauthorized")]

    source = feed_source(headers={"X-PIMS-Token": "${secret:TOKEN}"})

    async def main() -> None:
        async with raw_vendor(vendor_of("third")) as vendor:  # type: ignore[arg-type]
            config = {"PIMS_QA_URL": vendor.url, ALLOW_SETTING: "127.0.0.1"}
            async with PimsClient(config=config, secrets=secrets) as pims:
                assert could_not_tell(await pims.fetch(source)).kind == "unauthorized"
                assert len(vendor.requests) == 1
                manager.values["TOKEN"].append(b"third")
                assert await pims.fetch(source) == Body(b"feed")
                assert len(vendor.requests) == 3
                manager.status, vendor.requests[:] = 503, []
                assert await pims.fetch(source) == Body(b"feed")

    asyncio.run(main())


def test_no_answer_of_secret_manager_is_an_outcome_that_may_pass(
    secrets: GoogleSecrets, manager: SecretManager
) -> None:
    manager.status = 503

    async def main() -> None:
        async with PimsClient(config={"PIMS_QA_URL": "http://pims.test"}, secrets=secrets) as pims:
            outcome = could_not_tell(await pims.fetch(feed_source(headers={"X-PIMS-Token": "${secret:TOKEN@1}"})))
        assert (outcome.kind, outcome.is_permanent) == ("secrets_unavailable", False)

    asyncio.run(main())


def test_the_setting_chooses_the_source_and_one_object_serves_a_project() -> None:
    assert isinstance(open_secrets({}), EnvironmentSecrets)
    chosen = open_secrets({"CONTINUOUS_GTFS_SECRETS": "gcp:my-agency"})
    assert repr(chosen) == "GoogleSecrets('my-agency')"
    assert open_secrets({"CONTINUOUS_GTFS_SECRETS": "gcp:my-agency"}) is chosen


def test_a_service_that_stands_in_for_secret_manager_is_named_in_the_environment() -> None:
    with secret_manager(TOKEN=[b"t0k3n"]) as manager:
        environ = {"CONTINUOUS_GTFS_SECRETS": "gcp:p-1", "SECRET_MANAGER_EMULATOR_HOST": manager.endpoint}
        assert open_secrets(environ).get("TOKEN") == "t0k3n"
    assert manager.reads == ["TOKEN@latest"]


@pytest.mark.parametrize("value", ["gcp", "gcp:", "aws:x", "gcp:a/b"])
def test_another_setting_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="CONTINUOUS_GTFS_SECRETS"):
        open_secrets({"CONTINUOUS_GTFS_SECRETS": value})


def test_a_url_among_the_settings_may_be_a_secret_or_hold_one() -> None:
    environ = {
        "HOOK": "${secret:WHOLE}",
        "WHOLE": "https://hooks.test/a?b=c",
        "PG": "pg://u:${secret:PW}@h/d",
        "PW": "p/w",
    }
    assert resolve_url("HOOK", environ) == "https://hooks.test/a?b=c"
    assert resolve_url("PG", environ) == "pg://u:p%2Fw@h/d"
    assert resolve_url("NONE", environ) is None
