"""Run reports as text for a terminal: one line a run, or everything of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from continuous_gtfs.defs.run_report import OutputReport, RunReport, StepReport
from continuous_gtfs.gtfs.reports import text_table

_HEADER = ("run", "created (UTC)", "pipeline", "trigger", "status", "took", "steps", "checks", "age", "said")
_RIGHT = frozenset({5, 8})
_LONGEST_SAID = 80
_SHORT_ID = 8


def run_lines(reports: Sequence[RunReport]) -> str:
    """A table with one line a run."""
    if not reports:
        return "no runs\n"
    return text_table([_HEADER, *map(_line, reports)], numbers=_RIGHT)


def run_text(report: RunReport) -> str:
    """Everything of one run: facts, ops, steps, findings, failed checks, outputs."""
    return "\n".join(_sections(report))


def _line(report: RunReport) -> tuple[str, ...]:
    ages = [output.age_at_publication_s for output in report.outputs if output.age_at_publication_s is not None]
    return (
        report.run_id[:_SHORT_ID],
        f"{report.created_at:%Y-%m-%d %H:%M:%S}",
        report.pipeline or report.job,
        report.trigger,
        report.status,
        _seconds(report.duration_s),
        _steps(report.steps),
        _checks(report),
        _seconds(max(ages, default=None)),
        _cut(_said(report)),
    )


def _steps(steps: Sequence[StepReport]) -> str:
    failed = [step.name for step in steps if step.status != "success"]
    told = [f"{len(steps) - len(failed)} ok"] if steps else []
    for what in ("removed", "added", "changed"):
        count = sum(getattr(step, what) for step in steps)
        if count:
            told.append(f"{count:,} {what}")
    return ", ".join([*told, *(f"{name} failed" for name in failed)])


def _checks(report: RunReport) -> str:
    if not report.failed_checks:
        return f"{report.checks_passed} ok" if report.checks_passed else ""
    return f"{len(report.failed_checks)} of {report.checks_passed + len(report.failed_checks)} failed"


def _said(report: RunReport) -> str:
    """Why a run failed; else what a check that let pass warns of, or a publication that something newer came before."""
    errors = [op.error for op in report.ops if op.error]
    warnings = [check.message for check in report.failed_checks]
    overtaken = ["superseded" for output in report.outputs if output.outcome == "superseded"]
    return next(iter([*errors, *([report.error] if report.error else []), *warnings, *overtaken]), "")


def _sections(report: RunReport) -> Iterator[str]:
    facts = {
        "run": report.run_id,
        "pipeline": report.pipeline or report.job,
        "status": f"{report.status} after {_seconds(report.duration_s)}" if report.duration_s else report.status,
        "created": f"{report.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "trigger": report.trigger + (f", again after {report.retry_of}" if report.retry_of else ""),
        "code": report.code_version or "",
        "error": report.error or "",
    }
    yield text_table([(name, value) for name, value in facts.items() if value])
    inputs = [(feed, version, "new" if feed in report.changed else "") for feed, version in report.inputs.items()]
    yield from _section("inputs", ("feed", "version", ""), inputs)
    ops = [
        (
            op.name,
            op.status,
            _milliseconds(op.duration_ms),
            f"{op.retries} retries" if op.retries else "",
            op.error or "",
        )
        for op in report.ops
    ]
    yield from _section("ops", ("op", "status", "ms", "", ""), ops, numbers={2})
    yield from _section(
        "steps",
        ("step", "status", "ms", "file", "before", "after", "removed", "added", "changed"),
        [line for step in report.steps for line in _step_lines(step)],
        numbers={2, 4, 5, 6, 7, 8},
    )
    yield from _section("findings", (), [(one.severity, one.step, one.finding) for one in report.findings])
    yield from _section(
        "checks that failed",
        (),
        [(check.severity, f"{check.asset}:{check.name}", check.message) for check in report.failed_checks],
    )
    yield from _section(
        "outputs",
        ("asset", "outcome", "bytes", "entities", "age", "digest", "label", "path"),
        [_output_line(output) for output in report.outputs],
        numbers={2, 3, 4},
    )


def _section(
    title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers: set[int] | None = None
) -> Iterator[str]:
    if rows:
        lines = text_table([*([header] if header else []), *rows], numbers=numbers or ())
        yield f"{title}\n" + "".join(f"  {line}\n" for line in lines.splitlines())


def _step_lines(step: StepReport) -> Iterator[tuple[str, ...]]:
    first = (step.name, step.status, _milliseconds(step.duration_ms))
    files = list(step.files.items())
    if not files:
        yield (*first, *[""] * 6)
    for position, (file, counts) in enumerate(files):
        numbers = (f"{counts[name]:,}" for name in ("before", "after", "removed", "added", "changed"))
        yield (*(first if position == 0 else ("", "", "")), file, *numbers)


def _output_line(output: OutputReport) -> tuple[str, ...]:
    return (
        output.asset,
        output.outcome or "",
        "" if output.bytes is None else f"{output.bytes:,}",
        "" if output.entities is None else f"{output.entities:,}",
        _seconds(output.age_at_publication_s),
        (output.digest or "")[:12],
        output.label or "",
        output.url_path or "",
    )


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.1f} s"


def _milliseconds(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:,.1f}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SAID else text[: _LONGEST_SAID - 3] + "..."
