# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m stoker.app``: the program that ``stoker serve`` becomes."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Final

import msgspec

from stoker.app.api_process import Post, answer
from stoker.app.server import serve
from stoker.config import read_config
from stoker.errors import ConfigurationError, StokerError

SWITCH_SECONDS: Final = 0.001
"""How long one thread computes while others wait: an answer passes through several, and a deployment keeps some of them busy."""


def main() -> None:
    """Run a server with the configuration that is given."""
    parser = argparse.ArgumentParser(prog="stoker serve")
    parser.add_argument("--config-json", required=True)
    sys.setswitchinterval(SWITCH_SECONDS)
    parser.add_argument("--api-process", help="only for the supervisor")
    given = parser.parse_args()
    # uvicorn ends its work first and sends the signal again: what is open is to be closed then, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        config = read_config(given.config_json)
        if given.api_process:
            answer(config, msgspec.json.decode(given.api_process, type=Post))
        else:
            serve(config)
    except StokerError as error:
        sys.stderr.write(f"error: {error.detail}\n" + (f"remedy: {error.remedy}\n" if error.remedy else ""))
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
