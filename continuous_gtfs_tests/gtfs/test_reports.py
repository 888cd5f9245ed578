"""How a run of steps is rendered: every row accounted for, whatever a step said on one line."""

from __future__ import annotations

import json

from continuous_gtfs.gtfs.reports import counted, file_totals, run_report, step_notes, step_table, text_table
from continuous_gtfs.pipeline.results import Finding, RowChanges, StepResult

REMOVE = StepResult(
    name="remove_routes",
    status="success",
    duration_s=1.23456,
    changes={"trips.txt": RowChanges(removed=1234), "routes.txt": RowChanges(removed=2, changed=1)},
    findings=(
        Finding("warning", "left", "1 route\n left", "routes.txt", 1, ("R1",)),
        Finding("info", "removed", "1,234 rows", "trips.txt", 1234, ("T1", "", "T2", "T3", "T4")),
        Finding("info", "removed", "2 rows", "routes.txt"),
    ),
    logs=("looked at\t2 routes",),
    source_hash="0" * 16,
)
ADD = StepResult(
    name="add",
    status="failed",
    duration_s=0,
    changes={"trips.txt": RowChanges(added=4)},
    findings=(Finding("error", "bad", "no"),),
    source_hash="0" * 16,
)
IDLE = StepResult(name="idle", status="success", duration_s=0.0001, source_hash="0" * 16)


def test_the_table_has_a_line_for_each_file_that_a_step_changed_rows_of() -> None:
    assert step_table([REMOVE, ADD, IDLE]).splitlines() == [
        "step           status   file        removed  added  changed  findings                 ms",
        "remove_routes  success  routes.txt        2      0        1  1 warning, 2 infos  1,234.6",
        "                        trips.txt     1,234      0        0",
        "add            failed   trips.txt         0      4        0  1 error                 0.0",
        "idle           success  -                                                            0.1",
    ]


def test_no_steps_are_a_table_of_its_header_alone() -> None:
    assert len(step_table([]).splitlines()) == 1
    assert step_notes([]) == text_table([]) == ""


def test_what_a_step_said_is_one_line_each_with_a_few_ids() -> None:
    assert step_notes([REMOVE, IDLE, ADD]).splitlines() == [
        "warning  remove_routes  1 route left (R1)",
        "info     remove_routes  1,234 rows (T1, T2, T3, ...)",
        "info     remove_routes  2 rows",
        "log      remove_routes  looked at 2 routes",
        "error    add            no",
    ]


def test_totals_by_file_account_for_every_row_of_either_side() -> None:
    totals = file_totals(
        {"trips.txt": 2000, "routes.txt": 3, "stops.txt": 5}, {"trips.txt": 770, "routes.txt": 1}, [REMOVE, ADD]
    )
    assert totals["trips.txt"] == {"rows_in": 2000, "removed": 1234, "added": 4, "changed": 0, "rows_out": 770}
    assert totals["routes.txt"] == {"rows_in": 3, "removed": 2, "added": 0, "changed": 1, "rows_out": 1}
    assert totals["stops.txt"] == {"rows_in": 5, "removed": 0, "added": 0, "changed": 0, "rows_out": 0}


def test_a_report_is_json_from_which_the_results_can_be_read_back() -> None:
    document = json.loads(json.dumps(run_report([REMOVE], facts={"now": "x"}, rows_in={}, rows_out={})))
    assert (document["status"], document["error"], document["now"]) == ("success", None, "x")
    assert [StepResult.from_dict(step) for step in document["steps"]] == [REMOVE]


def test_the_report_of_a_failed_run_says_why_and_accounts_for_no_output() -> None:
    document = run_report([REMOVE, ADD], facts={}, rows_in={"trips.txt": 1}, rows_out=None, error="no")
    assert (document["status"], document["error"], document["files"]) == ("failed", "no", None)
    assert [step["status"] for step in document["steps"]] == ["success", "failed"]


def test_one_is_singular() -> None:
    assert (counted(1, "step"), counted(0, "step"), counted(2000, "step")) == ("1 step", "0 steps", "2,000 steps")


def test_no_text_of_a_feed_moves_the_cursor_or_turns_the_line_around() -> None:
    nasty = "\x1b]0;title\x07\x1b[2J A \u202e\u2066B\r\nC\u0085"
    line = text_table([(nasty, "next")])
    assert line.endswith("next\n")
    assert line[:-1].isprintable()
