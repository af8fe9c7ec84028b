# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Values of overrides on the command line: texts stay what they are, and only plain numbers and constants are no texts."""

from __future__ import annotations

import pytest
from stoker.cli.overrides import read_value
from stoker.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("-1", -1),
        ("2.5", 2.5),
        ("1.0", "1.0"),
        ("0644", "0644"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("null", None),
        ("'8'", "8"),
        ("''", ""),
        ("[a, 1, true]", ["a", 1, True]),
        ("[]", []),
        ("1.0 3", "1.0 3"),
    ],
)
def test_a_value_is_what_a_configuration_file_means_by_it(text, value):
    found = read_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["{a: 1}", "a: b", "[[1]]", "[", "[" * 5000])
def test_what_is_no_value_is_refused(text):
    with pytest.raises(InvalidInputError):
        read_value(text)
