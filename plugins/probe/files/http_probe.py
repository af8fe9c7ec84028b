#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Wait until HTTP pages answer with a status and a text: parameters as JSON on standard input, lines of JSON on the output."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

ONE_LOOK = 10.0
"""Seconds that one page may take."""
MOST = 4 * 1024 * 1024
"""Bytes of an answer in which the text is looked for."""


def say(**words: object) -> None:
    """Tell whoever started this program."""
    print(json.dumps(words), flush=True)


def fault(page: dict, token: str, patience: float) -> str:
    """What is wrong with a page's answer, or an empty text."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(page["url"], headers=headers)  # noqa: S310  the schema allows HTTP alone
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:  # noqa: S310
            status, body = answer.status, answer.read(MOST)
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read(MOST)
    except (OSError, ValueError) as error:
        return f"no answer ({getattr(error, 'reason', None) or error})"
    wanted = page.get("status", 200)
    if status != wanted:
        return f"status {status} instead of {wanted}"
    return "" if page.get("text", "").encode() in body else f"the text {page['text']!r} is not there"


def main() -> int:
    """Look at all pages until each is as it should be."""
    given = json.load(sys.stdin)
    if "--dry-run" in sys.argv[1:]:
        say(changed=False)
        return 0
    waiting, many = list(given["pages"]), len(given["pages"])
    pause = given.get("interval", 1)
    until = time.monotonic() + given.get("within", 60)
    while waiting:
        faults = []
        for page in list(waiting):
            found = fault(page, given.get("token", ""), min(ONE_LOOK, max(until - time.monotonic(), 0.1)))
            if found:
                faults.append(f"{page['url']}: {found}")
                continue
            waiting.remove(page)
            say(progress=(many - len(waiting)) / many, message=f"{page['url']} answers")
        if waiting and time.monotonic() + pause > until:
            for told in faults:
                say(error=told, remedy="Look at what serves the page, or give it more time with 'within'.")
            return 1
        if waiting:
            time.sleep(pause)
    say(changed=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
