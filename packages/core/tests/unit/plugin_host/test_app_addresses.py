# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Addresses of applications: one path is understood in one way, and hostile ones in none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoker.plugin_host.app_addresses import LONGEST_PATH, HostilePathError, TooLongError, address_of


@pytest.mark.parametrize(
    ("raw", "plugin", "environment", "root", "path"),
    [
        (b"/api/plugins/hello/", "hello", "", "/api/plugins/hello", "/"),
        (b"/api/plugins/hello/a/b;c=1", "hello", "", "/api/plugins/hello", "/a/b;c=1"),
        (b"/api/plugins/hello/%C3%A4%20b", "hello", "", "/api/plugins/hello", "/ä b"),
        (b"/api/plugins/hello/%252e%252e/x", "hello", "", "/api/plugins/hello", "/%2e%2e/x"),
        (b"/api/environments/prod-1/plugins/hello/x", "hello", "prod-1", "/api/environments/prod-1/plugins/hello", "/x"),
    ],
)
def test_what_is_below_a_plugins_name_is_its_own(raw, plugin, environment, root, path) -> None:
    found = address_of(raw)
    assert found is not None
    assert (found.plugin, found.environment, found.root, found.path) == (plugin, environment, root, path)


@pytest.mark.parametrize(
    "raw",
    [
        b"/api/plugins",
        b"/api/plugins/",
        b"/api/plugins/hello",
        b"/api/plugins/Hello/x",
        b"/api/plugins/%68ello/x",
        b"/api/%70lugins/hello/x",
        b"/api/plugins/../x",
        b"/api//plugins/hello/x",
        b"/api/environments/prod/plugins/hello",
        b"/api/environments/../plugins/hello/x",
        b"/api/environments/a%2fb/plugins/hello/x",
        b"/api/nodes",
        b"http://elsewhere/api/plugins/hello/x",
        b"*",
    ],
)
def test_everything_else_is_the_cores(raw) -> None:
    assert address_of(raw) is None


@pytest.mark.parametrize(
    "below",
    [
        b"/..",
        b"/../x",
        b"/a/../../../nodes",
        b"/%2e%2e/x",
        b"/%2E./x",
        b"/./x",
        b"/a%2fb",
        b"/a%2Fb",
        b"/..%2f..%2fnodes",
        b"/a%5cb",
        b"/a\\b",
        b"/a%00b",
        b"/a%0d%0aSet-Cookie:x",
        b"/a\x00",
        b"/a%7f",
        b"//x",
        b"/x//y",
        b"/%2",
        b"/%zz",
        b"/%c0%ae%c0%ae/x",
        b"/%ff",
    ],
)
@pytest.mark.parametrize("root", [b"/api/plugins/hello", b"/api/environments/prod/plugins/hello"])
def test_a_path_that_could_mean_two_things_is_refused(root, below) -> None:
    with pytest.raises(HostilePathError):
        address_of(root + below)


def test_very_long_addresses_are_refused() -> None:
    assert address_of(b"/api/plugins/hello/" + b"a" * (LONGEST_PATH - 1)) is not None
    with pytest.raises(TooLongError):
        address_of(b"/api/plugins/hello/" + b"a" * LONGEST_PATH)
    with pytest.raises(TooLongError):
        address_of(b"/api/plugins/hello/", b"q=" + b"a" * 20_000)


@given(st.binary(max_size=40))
def test_what_goes_on_stays_below_and_reads_the_same(below: bytes) -> None:
    """The target that a worker gets is read by it as the path that was checked, whatever was sent."""
    try:
        found = address_of(b"/api/plugins/hello/" + below)
    except (HostilePathError, TooLongError):
        return
    assert found is not None
    again = address_of(b"/api/plugins/hello" + found.target.encode())
    assert again is not None
    assert again.path == found.path
    assert all(" " < letter < "\x7f" for letter in found.target)
    assert ".." not in found.path.split("/")
