from __future__ import annotations

import pytest

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.secrets import REDACTED, EnvironmentSecrets, RememberingSecrets, redact


def test_a_rotated_value_is_seen() -> None:
    environ = {"TOKEN": "old"}
    secrets = EnvironmentSecrets(environ)
    assert secrets.get("TOKEN") == "old"
    environ["TOKEN"] = "new"
    assert secrets.get("TOKEN") == "new"


@pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}, {"TOKEN": " \n"}])
def test_a_missing_or_blank_secret_is_named_with_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="set the environment variable TOKEN"):
        EnvironmentSecrets(environ).get("TOKEN")


def test_no_value_is_in_a_repr() -> None:
    secrets = EnvironmentSecrets({"TOKEN": "s3cret"})
    remembering = RememberingSecrets(secrets)
    remembering.get("TOKEN")
    assert "s3cret" not in f"{secrets!r}{remembering!r}"


def test_only_the_values_that_were_given_out_are_cleaned_away() -> None:
    secrets = RememberingSecrets(EnvironmentSecrets({"A": "apple", "B": "pear"}))
    secrets.get("A")
    assert secrets.redact("apple and pear") == f"{REDACTED} and pear"


def test_the_forms_a_url_gives_a_value_are_cleaned_away_too() -> None:
    cleaned = redact("a b/c a%20b%2Fc a+b%2Fc a%20b/c", ["a b/c"])
    assert cleaned == " ".join([REDACTED] * 4)


def test_a_value_that_contains_another_leaves_no_tail() -> None:
    assert redact("key=abcdef", ["abc", "abcdef"]) == f"key={REDACTED}"


def test_an_empty_value_cleans_nothing() -> None:
    assert redact("text", [""]) == "text"
