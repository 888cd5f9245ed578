from __future__ import annotations

import json

from continuous_gtfs.pipeline.results import SAMPLE_SIZE, Finding, StepResult


def test_a_step_result_comes_back_equal_through_json() -> None:
    result = StepResult(
        name="remove_rows_stops",
        status="success",
        duration_s=0.25,
        rows_before={"stops.txt": 3},
        rows_after={"stops.txt": 2},
        findings=(Finding("info", "rows_removed", "1 row removed", "stops.txt", 1, ("E01",)),),
        logs=("one line",),
        source_hash="0123456789abcdef",
    )
    assert StepResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_a_finding_keeps_its_count_but_only_a_sample() -> None:
    finding = Finding("info", "rows_removed", "many", "stops.txt", 500, tuple(map(str, range(500))))
    assert finding.count == 500
    assert finding.sample == tuple(map(str, range(SAMPLE_SIZE)))
