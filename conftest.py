# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""With STOKER_REQUIRE_ALL=1, as in CI, a test that would be skipped fails: nothing goes untested unnoticed."""

import os

import pytest

pytest_plugins = ["stoker_lab.database_fixtures"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if os.environ.get("STOKER_REQUIRE_ALL") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and STOKER_REQUIRE_ALL=1 forbids that: {call.excinfo.value}"
    return report
