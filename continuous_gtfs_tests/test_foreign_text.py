"""What a vendor, a feed or a caller has decided forges no log line, moves no cursor and fills no database."""

from __future__ import annotations

import json
import logging
import traceback

import pytest

from continuous_gtfs.cli_files import json_bytes
from continuous_gtfs.defs.schedule_gates import Verdict
from continuous_gtfs.defs.tables import table
from continuous_gtfs.errors import ContinuousGtfsError, FeedStructureError, StepFailedError
from continuous_gtfs.foreign_text import MOST_CHARACTERS, printable, shown
from continuous_gtfs.pims.outcomes import CouldNotTell
from continuous_gtfs.pipeline.results import MOST_ID_CHARACTERS, Finding, RowChanges
from continuous_gtfs.realtime.guards.result import GuardResult

# A forged log line, colours, a cleared screen, a title of the window, C1 control, text turned around, line separators.
HOSTILE = "x\r\n2026-01-01 ERROR root: forged\x1b[31m\x1b[2J\x1b]0;t\x07\x9b31m\u202etxt.exe\u2066\u2028\u2029\x85\x00"
LONG = "a" * 5_000_000


@pytest.mark.parametrize("text", [HOSTILE, "\ud800", "\U000e0041", "\ufeff", "\u200b"])
def test_what_a_log_or_a_terminal_obeys_is_a_space(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize("text", ["Tök, ニュー 🚋 (1/2)", "", "=1+1|<b>`x`"])
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_a_text_is_cut_and_says_so() -> None:
    assert shown("abcdef", characters=4) == "abc…"
    assert len(shown(LONG)) == MOST_CHARACTERS


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_an_error_of_ours_is_one_line_of_bounded_length_wherever_it_is_written(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = FeedStructureError(f"{text} is no feed")
    logging.getLogger("test").error("refused: %s", error)
    for told in (str(error), caplog.records[0].getMessage(), "".join(traceback.format_exception_only(error)).rstrip()):
        assert told.isprintable()
        assert len(told) < 1.1 * MOST_CHARACTERS


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_what_is_told_of_a_feed_is_one_line_of_bounded_length(text: str) -> None:
    cells = table({"finding": "string", "count": "int"}, [{"finding": text, "count": 1}]).records[0].data
    for told in (
        CouldNotTell("unreadable", text).reason,
        Finding("info", "code", text).message,
        GuardResult(guard="g", passed=False, value=None, threshold=None, unit="", message=text).message,
        Verdict(is_passed=False, accepted={}, message=text, metadata={}).message,
        str(StepFailedError(f"step x failed: ValueError: {text}")),
        cells["finding"],
    ):
        assert isinstance(told, str)
        assert told.isprintable()
        assert len(told) <= MOST_CHARACTERS
    assert cells["count"] == 1


def test_samples_of_ids_stay_as_they_are_but_for_what_is_too_long_to_be_one() -> None:
    ids = (HOSTILE, LONG)
    for sample in (Finding("info", "c", "m", sample=ids).sample, RowChanges(removed_sample=ids).removed_sample):
        assert sample == (HOSTILE, LONG[:MOST_ID_CHARACTERS])


def test_a_json_document_on_a_terminal_moves_nothing_and_says_the_same() -> None:
    document = {"stop_name": HOSTILE + "\x7fTök", HOSTILE: [1, None]}
    written = json_bytes(document).decode()
    assert all(line.isprintable() for line in written.split("\n"))
    assert "Tök" in written
    assert json.loads(written) == document


def test_every_error_of_ours_is_shown_by_the_same_rule() -> None:
    waiting = [ContinuousGtfsError]
    while waiting:
        kind = waiting.pop()
        assert kind.__str__ is ContinuousGtfsError.__str__
        waiting += kind.__subclasses__()
