# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server's configuration: what does not fit is told by field, with what would fit."""

from __future__ import annotations

import pytest
from stoker.cli.serve import split_listen
from stoker.config import load_config
from stoker.errors import ConfigurationError, InvalidInputError

BAD = {
    "an unknown field": ("prt = 1", "there is no field prt", "Write port."),
    "a field that resembles none": ("colour = 1", "there is no field colour", "data_dir"),
    "a wrong type": ('port = "abc"', "port: expected a whole number, got a text", "manual"),
    "a wrong item": ("hosts = [[]]", "hosts", "manual"),
    "a port that is none": ("port = 70000", "70000", "1 to 65535"),
    "no TOML": ("port", "is not TOML", "Mend"),
}


@pytest.mark.parametrize(("text", "what", "remedy"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_told_by_field(tmp_path, text, what, remedy):
    file = tmp_path / "stoker.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_config(file, environment={})
    assert what in caught.value.detail
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("given", "found"),
    [("8551", (None, 8551)), ("0", (None, 0)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("[::1]:8550", ("::1", 8550)), ("", (None, None))],
)
def test_where_to_listen_is_a_host_and_a_port(given, found):
    assert split_listen(given) == found


@pytest.mark.parametrize("given", ["127.0.0.1:99999", "127.0.0.1", "localhost:http", "host:"])
def test_a_port_that_is_none_is_refused(given):
    with pytest.raises(InvalidInputError):
        split_listen(given)
