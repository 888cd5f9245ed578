"""A validation report as one HTML page that needs nothing else, for a person who has to decide.

Everything in it that came from the feed or the validator is escaped: a stop's name is the vendor's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape as escape_markup
from itertools import groupby, islice

from continuous_gtfs.foreign_text import printable
from continuous_gtfs.gtfs.validation import Notice, ValidationReport

SHOWN_PER_CODE = 50

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid #d8dee4;overflow-wrap:anywhere}
td.number,th.number{text-align:right}
code{font:13px ui-monospace,monospace}
.error{color:#b3261e}.warning{color:#8a5a00}.info{color:#57606a}
summary{cursor:pointer;padding:.3rem 0}
"""


def report_html(report: ValidationReport, *, title: str = "Validation report") -> str:
    """The page: counts by code, then up to ``SHOWN_PER_CODE`` notices of each with file, line and field."""
    return "".join(
        (
            "<!doctype html>\n",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            # Whatever gets past the escaping may neither run nor fetch anything.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n",
            f"<h1>{escape(title)}</h1>\n",
            f"<p>By {escape(report.validator)} as of service date {report.service_date.isoformat()}, "
            f"in {report.duration_s:.1f} s.</p>\n",
            _counts(report),
            *_details(report),
            "</body></html>\n",
        )
    )


def escape(text: str) -> str:
    """A text of the feed on the page: no markup, and no mark that turns the text around."""
    return escape_markup(printable(text))


def _counts(report: ValidationReport) -> str:
    rows = [
        f'<tr class="{severity}"><td>{severity}</td><td><code>{escape(code)}</code></td>'
        f'<td class="number">{count:,}</td></tr>\n'
        for severity, counts in report.counts.items()
        for code, count in counts.items()
    ]
    if not rows:
        return "<p>Nothing was found.</p>\n"
    head = '<tr><th>severity</th><th>code</th><th class="number">notices</th></tr>\n'
    return f"<table>{head}{''.join(rows)}</table>\n"


def _details(report: ValidationReport) -> Iterator[str]:
    for (severity, code), notices in groupby(report.notices, key=lambda notice: (notice.severity, notice.code)):
        shown = list(islice(notices, SHOWN_PER_CODE))
        count = report.counts[severity][code]
        told = f"{count:,}" if count == len(shown) else f"first {len(shown):,} of {count:,}"
        opened = " open" if severity == "error" else ""
        yield (
            f'<details{opened}><summary class="{severity}">{severity} <code>{escape(code)}</code> ({told})</summary>\n'
            f"{_table(shown)}</details>\n"
        )


def _table(notices: Iterable[Notice]) -> str:
    head = '<tr><th>file</th><th class="number">line</th><th>field</th><th>what</th><th>details</th></tr>\n'
    return f"<table>{head}{''.join(map(_row, notices))}</table>\n"


def _row(notice: Notice) -> str:
    details = ", ".join(f"{name}={value}" for name, value in notice.context.items())
    line = "" if notice.line is None else f"{notice.line:,}"
    return (
        f'<tr><td>{escape(notice.file or "")}</td><td class="number">{line}</td><td>{escape(notice.field or "")}</td>'
        f"<td>{escape(notice.message)}</td><td><code>{escape(details)}</code></td></tr>\n"
    )
