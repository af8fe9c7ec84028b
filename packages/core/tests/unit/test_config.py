# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server's configuration: what does not fit is told by field, with what would fit."""

from __future__ import annotations

import os

import pytest
from stoker.cli.serve import split_listen, without_password
from stoker.config import load_config
from stoker.db.database import Database
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


def test_a_password_of_the_databases_url_is_in_no_argument(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "")
    given = load_config(None, environment={"STOKER_DATABASE": "postgresql://stoker:p%40ss@db.example.org/stoker?sslmode=require"})
    assert without_password(given).database == "postgresql://stoker@db.example.org/stoker?sslmode=require"
    assert os.environ["PGPASSWORD"] == "p@ss"


@pytest.mark.parametrize(
    "url", ["postgresql://stoker@/stoker?host=/run/postgresql", "postgresql://db.example.org:5432/stoker", ""]
)
def test_a_url_without_a_password_stays_as_it_is(url):
    given = load_config(None, environment={"STOKER_DATABASE": url})
    assert without_password(given) is given


@pytest.mark.parametrize("url", ["mysql://root@localhost/x", "postgresql://stoker:secret@host:port/x"])
def test_what_is_no_url_of_a_database_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert "postgresql://" in caught.value.remedy
    assert "secret" not in str(caught.value)
