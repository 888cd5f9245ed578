from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

from continuous_gtfs.gtfs.validation import Notice, ValidationReport, validate_feed
from continuous_gtfs.gtfs.validation_report import SHOWN_PER_CODE, report_html
from continuous_gtfs_tests.builders import csv_text, feed_zip, small_feed, small_feed_files

DAY = date(2026, 6, 1)
HOSTILE = "<script>alert('x')</script>"


def report_of(trips_of: str, count: int = 1) -> ValidationReport:
    files = small_feed_files()
    trips = csv_text(*(f"{trips_of},DAY,X{n},North End,0," for n in range(count)))
    return validate_feed(feed_zip(files | {"trips.txt": files["trips.txt"] + trips}), service_date=DAY)


def test_the_page_tells_code_count_file_and_line() -> None:
    page = report_html(report_of("GONE"), title="production/schedule version 1")
    assert "<title>production/schedule version 1</title>" in page
    assert re.search(r"<code>foreign_key_violation</code></td><td class=\"number\">1</td>", page)
    assert '<td>trips.txt</td><td class="number">5</td>' in page
    assert "GONE" in page
    assert DAY.isoformat() in page


def test_a_feed_without_notices_says_so() -> None:
    assert "Nothing was found." in report_html(validate_feed(small_feed(), service_date=DAY))


def test_what_the_vendor_wrote_is_text_and_no_markup() -> None:
    page = report_html(report_of(HOSTILE), title=HOSTILE)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    notice = Notice(HOSTILE, "error", HOSTILE, 1, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    hostile = replace(report_of("GONE"), errors={HOSTILE: 1}, notices=(notice,), validator_version=HOSTILE)
    assert "<script" not in report_html(hostile)
    turned = report_html(report_of('"a\u202egpj.\x1b[31m"'), title="\u2066x")
    assert not set(turned) & set("\u202e\u2066\x1b")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = report_html(report_of("GONE"))
    assert not re.search(r"<(script|link|img|iframe)|src=|@import|url\(", page)
    assert "Content-Security-Policy\" content=\"default-src 'none'" in page


def test_of_a_code_with_very_many_notices_some_are_shown_and_all_are_counted() -> None:
    count = SHOWN_PER_CODE + 10
    report = report_of("GONE", count)
    page = report_html(report)
    assert f"first {SHOWN_PER_CODE} of {count}" in page
    assert page.count("<td>trips.txt</td>") <= SHOWN_PER_CODE * len(report.counts["error"] | report.counts["warning"])
    assert len([notice for notice in report.to_dict()["notices"] if notice["code"] == "foreign_key_violation"]) == count
