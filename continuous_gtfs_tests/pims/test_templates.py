from __future__ import annotations

import pytest

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.secrets import EnvironmentSecrets
from continuous_gtfs.pims.templates import placeholders, render, render_header, render_url

CONFIG = {"BASE": "https://vendor.test/qa/", "BLANK": "  "}
SECRETS = EnvironmentSecrets({"KEY": "a&b/c", "TOKEN": "s3cret\n", "BROKEN": "top\r\nsecret", "UNICODE": "clé"})


def test_settings_and_secrets_take_the_place_of_their_names() -> None:
    assert render("x ${config:BASE} ${secret:KEY}$", config=CONFIG, secrets=SECRETS) == (
        "x https://vendor.test/qa/ a&b/c$"
    )


def test_a_text_without_placeholders_stays_as_it_is() -> None:
    assert render("Bearer {x} $y", config={}, secrets=SECRETS) == "Bearer {x} $y"


def test_a_secret_in_a_url_is_percent_encoded_and_the_base_may_end_in_a_slash() -> None:
    template = "${config:BASE}/gtfs/schedule.zip?key=${secret:KEY}"
    assert render_url(template, config=CONFIG, secrets=SECRETS) == (
        "https://vendor.test/qa/gtfs/schedule.zip?key=a%26b%2Fc"
    )


@pytest.mark.parametrize("name", ["MISSING", "BLANK"])
def test_a_missing_or_blank_setting_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        render(f"${{config:{name}}}", config=CONFIG, secrets=SECRETS)


def test_a_missing_secret_is_named_without_the_values_beside_it() -> None:
    with pytest.raises(ConfigurationError, match="OTHER") as caught:
        render("${secret:KEY}${secret:OTHER}", config=CONFIG, secrets=SECRETS)
    assert "a&b/c" not in str(caught.value)


@pytest.mark.parametrize("template", ["${KEY}", "${secrets:KEY}", "${secret:}", "${secret:A B}", "x ${secret:KEY"])
def test_a_placeholder_that_is_neither_form_is_refused_and_not_sent_as_it_stands(template: str) -> None:
    with pytest.raises(ConfigurationError, match="neither"):
        render(template, config=CONFIG, secrets=SECRETS)


def test_a_value_is_not_looked_through_for_placeholders() -> None:
    secrets = EnvironmentSecrets({"A": "${secret:B}"})
    assert render("${secret:A}", config={}, secrets=secrets) == "${secret:B}"


@pytest.mark.parametrize(("name", "value"), [("BROKEN", "top"), ("UNICODE", "clé")])
def test_a_value_that_no_header_can_carry_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"secret {name}") as caught:
        render_header(f"Bearer ${{secret:{name}}}", config=CONFIG, secrets=SECRETS)
    assert value not in str(caught.value)


def test_the_line_break_at_the_end_of_a_secret_is_not_part_of_it() -> None:
    assert render_header("Bearer ${secret:TOKEN}", config=CONFIG, secrets=SECRETS) == "Bearer s3cret"


def test_placeholders_come_in_order_with_their_kind() -> None:
    assert placeholders("${config:B}/${secret:A}?${config:B}") == (("config", "B"), ("secret", "A"), ("config", "B"))
