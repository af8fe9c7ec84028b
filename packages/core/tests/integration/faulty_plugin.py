# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin whose code does every wrong that there is, in every place where a plugin's code runs; copied into a test's venv."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time

from stoker_sdk import Plugin, RESTAPIPlugin, code
from stoker_sdk.extension_points.rest_api import RestApi

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # always: it never ends because it is asked to
NOBODY = 60


def do(fault: str) -> object:
    """Commit a fault; some give a result."""
    if fault.startswith("fork"):
        for _ in range(3):
            words = ["/bin/sh", "-c", f"trap '' TERM HUP; while :; do sleep 5; : {fault}; done"]
            subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.1)
        os._exit(0)
    return FAULTS[fault]()


def _raise():
    raise LookupError("it is not there")


def _loop():
    while True:
        pass


def _memory():
    kept = []
    while True:
        kept.append(bytearray(8 * 1024 * 1024))


def _segfault():
    ctypes.string_at(0)


def _close():
    os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1024))
    time.sleep(NOBODY)


def _flood():
    line = "x" * 1000 + "\n"
    while True:
        sys.stdout.write(line)


FAULTS = {
    "none": lambda: None,
    "raise": _raise,
    "exit by exception": lambda: sys.exit(3),
    "shape": object,
    "loop": _loop,
    "sleep": lambda: time.sleep(NOBODY),
    "memory": _memory,
    "exit": lambda: os._exit(7),
    "segfault": _segfault,
    "close": _close,
    "flood": _flood,
}


def check(settings):
    return do(settings["fault"]) or []


def event(event):
    return do(event.name)


def labels(objects):
    return do(objects[0].id) or {}


def migrate(documents):
    return do(documents["fault"]) or {}


class Api(RESTAPIPlugin):
    @staticmethod
    def application(environ, start_response):
        wrong = do(environ["PATH_INFO"].strip("/"))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return wrong or [b"good"]


plugin = Plugin(name="faulty", version="1.0.0", title="Faulty", memory=96, contributions=[RestApi(call=code(Api))])
