"""When a problem is told of, how it reads, and that it arrives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from continuous_gtfs.alerts.destinations import AlertNotDeliveredError, destinations
from continuous_gtfs.alerts.ledger import HELD_S, MOST_OPEN, REMIND_AFTER_S, Ledger
from continuous_gtfs.alerts.outbox import MOST_WAITING, Outbox
from continuous_gtfs.alerts.problems import Change, Notice, Problem, Severity
from continuous_gtfs.alerts.rendering import MOST_TOLD, line, text, webhook_body
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.secrets import EnvironmentSecrets
from continuous_gtfs_tests.alerts.webhook import Webhook, webhook

# apprise's own, at its import.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def problem(subject: str = "realtime_production", severity: Severity = Severity.ERROR, summary: str = "so") -> Problem:
    return Problem(kind="run", subject=subject, severity=severity, summary=summary, since=1000.0, page="/runs/1")


def began(one: Problem) -> Notice:
    return Notice(change=Change.BEGAN, problem=one, at=1000.0)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as kept:
        yield kept


def test_a_problem_is_told_of_once_then_after_hours_then_when_it_has_ended() -> None:
    ledger = Ledger()
    assert [n.change for n in ledger.settle([problem()], now=0.0)] == [Change.BEGAN]
    ledger = Ledger.from_dict(json.loads(json.dumps(ledger.to_dict())))
    assert ledger.settle([problem()], now=30.0) == []
    assert [n.change for n in ledger.settle([problem()], now=REMIND_AFTER_S)] == [Change.STILL]
    assert ledger.settle([], now=REMIND_AFTER_S + 30) == []
    assert [n.change for n in ledger.settle([], now=REMIND_AFTER_S + 30 + HELD_S)] == [Change.ENDED]
    assert ledger.open == {}


def test_what_flaps_is_told_of_once() -> None:
    ledger = Ledger()
    told = [n for t in range(0, 3000, 60) for n in ledger.settle([problem()] if t % 120 else [], now=float(t))]
    assert [n.change for n in told] == [Change.BEGAN]


def test_what_could_not_be_looked_at_has_not_ended() -> None:
    ledger = Ledger()
    ledger.settle([problem()], now=0.0)
    assert [ledger.settle([], unseen_kinds={"run"}, now=t) for t in (100.0, 1000.0)] == [[], []]
    assert "run realtime_production" in ledger.open


def test_a_warning_that_becomes_an_error_is_told_of_again() -> None:
    ledger = Ledger()
    ledger.settle([problem(severity=Severity.WARNING)], now=0.0)
    assert [n.problem.severity for n in ledger.settle([problem()], now=1.0)] == [Severity.ERROR]


def test_a_storm_is_one_message_that_says_how_many_more_there_are() -> None:
    told = text([began(problem(f"feed_{n}")) for n in range(500)], ui_url="")
    assert told.count("ERROR") == MOST_TOLD
    assert "and 490 more" in told


def test_a_text_of_a_feed_mentions_nobody_and_links_nothing() -> None:
    body = webhook_body([began(problem(summary="<!channel> & <https://evil|x>\n\x1b[31m"))], ui_url="https://ui/")
    assert "&lt;!channel&gt; &amp; &lt;https:\u200b//evil|x&gt;" in body["text"]
    assert "\x1b" not in body["text"]
    assert {block["text"]["type"] for block in body["blocks"]} == {"plain_text"}
    assert "https://ui/runs/1" in body["text"]


@pytest.mark.parametrize(
    "told", ["@channel @here @all", "![x](http://evil/x.png)", "[x](javascript:1)", "www.evil.test"]
)
def test_chats_that_read_markdown_mention_nobody_and_fetch_nothing(told: str) -> None:
    body = webhook_body([began(problem(summary=told, subject=told))], ui_url="")
    for told_text in (
        body["text"],
        text([began(problem(summary=told))], ui_url=""),
        json.dumps(body, ensure_ascii=False),
    ):
        assert not re.search(r"@\w|\]\(|://|www\.", told_text)
    assert told in line(problem(summary=told)), "a terminal shows it as it is"


def test_a_destination_that_was_down_gets_what_it_missed_in_one_message(hook: Webhook) -> None:
    environ = {"CONTINUOUS_GTFS_ALERT_URLS": "${secret:HOOK}", "HOOK": hook.url}
    places, outbox = destinations(environ), Outbox()
    hook.status = 503
    outbox.put(places, [began(problem("a"))])
    (failed,) = outbox.deliver(places, environ=environ, secrets=EnvironmentSecrets(environ), now=0.0)
    assert "answered 503" in failed
    assert "very-secret" not in failed
    outbox = Outbox.from_dict(json.loads(json.dumps(outbox.to_dict())))
    outbox.put(places, [began(problem("b"))])
    assert outbox.deliver(places, environ=environ, secrets=EnvironmentSecrets(environ), now=1.0) == [], "not yet due"
    hook.status = 200
    assert outbox.deliver(places, environ=environ, secrets=EnvironmentSecrets(environ), now=60.0) == []
    assert outbox.deliver(places, environ=environ, secrets=EnvironmentSecrets(environ), now=600.0) == []
    (body,) = hook.bodies
    assert "ERROR: a\n" in body["text"]
    assert "ERROR: b\n" in body["text"]


def test_a_destination_that_is_down_for_a_day_is_asked_ever_more_seldom_and_gets_one_message(hook: Webhook) -> None:
    environ = {"CONTINUOUS_GTFS_ALERT_URLS": hook.url}
    places, outbox, hook.status = destinations(environ), Outbox(), 503
    for tick in range(24 * 120):
        outbox.put(places, [began(problem(f"feed_{tick % 1000}"))])
        outbox.deliver(places, environ=environ, secrets=EnvironmentSecrets(environ), now=tick * 30.0)
    assert hook.asked < 105, "a quarter of an hour apart, but for the first few"
    assert len(outbox.queues["destination 1"].waiting) == MOST_WAITING
    assert len(json.dumps(outbox.to_dict())) < 100_000
    hook.status = 200
    for tick in range(24 * 120, 24 * 120 + 60):
        outbox.deliver(places, environ=environ, secrets=EnvironmentSecrets(environ), now=tick * 30.0)
    assert len(hook.bodies) == 1


def test_one_destination_that_is_down_keeps_no_other_from_its_message(hook: Webhook) -> None:
    environ = {"CONTINUOUS_GTFS_ALERT_URLS": f"http://127.0.0.1:1/nobody {hook.url}"}
    places, outbox = destinations(environ), Outbox()
    outbox.put(places, [began(problem())])
    (failed,) = outbox.deliver(places, environ=environ, secrets=EnvironmentSecrets(environ), now=0.0)
    assert failed.startswith("destination 1 was not reached")
    assert len(hook.bodies) == 1


def test_of_far_too_many_problems_the_gravest_are_kept_and_the_rest_is_one() -> None:
    ledger = Ledger()
    mild = [problem(f"mild_{n}", Severity.WARNING) for n in range(900)]
    first = ledger.settle(mild, now=0.0)
    assert len(first) == len(ledger.open) == MOST_OPEN
    assert "701 more problems" in ledger.open["more problems"].problem.summary
    # What is open stays open, so a storm that goes on is told of once.
    assert ledger.settle(reversed(mild), now=30.0) == []
    (graver,) = ledger.settle([*mild, problem("grave")], now=60.0)
    assert (graver.problem.kind, graver.problem.severity) == ("more", Severity.ERROR)
    grave = [problem(f"grave_{n}") for n in range(300)]
    anew = Ledger()
    assert {n.problem.severity for n in anew.settle([*mild, *grave], now=0.0)} == {Severity.ERROR}


def test_a_text_of_any_length_takes_a_bounded_place() -> None:
    long = problem("s" * 10_000, summary="x" * 10_000_000)
    assert len(json.dumps(long.to_dict())) < 1_200
    assert Problem.from_dict(long.to_dict()) == long


def test_warnings_go_only_where_they_are_asked_for() -> None:
    errors, warnings = destinations({"CONTINUOUS_GTFS_ALERT_URLS": "https://a\nwarning=slack://b"})
    mild = began(problem(severity=Severity.WARNING))
    assert [place.wants(mild) for place in (errors, warnings)] == [False, True]


def test_apprise_delivers_what_is_no_webhook(hook: Webhook) -> None:
    url = f"json://127.0.0.1:{hook.port}/very-secret"
    (place,) = destinations({"CONTINUOUS_GTFS_ALERT_URLS": url})
    place.send([began(problem())], environ={}, secrets=EnvironmentSecrets({}))
    assert "realtime_production" in hook.bodies[0]["message"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/very-secret", "json://127.0.0.1:1/very-secret", "nope://very-secret"]
)
def test_no_error_and_no_log_holds_a_url(url: str, caplog: pytest.LogCaptureFixture) -> None:
    (place,) = destinations({"CONTINUOUS_GTFS_ALERT_URLS": url})
    with caplog.at_level(0), pytest.raises((AlertNotDeliveredError, ConfigurationError)) as raised:
        place.send([began(problem())], environ={}, secrets=EnvironmentSecrets({}))
    assert "very-secret" not in f"{raised.value}{raised.value.__cause__}{place!r}{caplog.text}"


def test_a_setting_that_is_no_url_is_one_error() -> None:
    with pytest.raises(ConfigurationError, match="destination 2"):
        destinations({"CONTINUOUS_GTFS_ALERT_URLS": "https://a secret-word"})
