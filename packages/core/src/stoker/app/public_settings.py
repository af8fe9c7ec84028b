# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""How the web server is set where clients connect, in one process and in several alike."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import uvicorn
from litestar import Litestar

from stoker.config import ServerConfig

DRAIN_SECONDS: Final = 5
"""How long requests may take that began before the end."""


def public_settings(app: Litestar, config: ServerConfig, certificate: Path | None, key: Path | None) -> uvicorn.Config:
    """The settings of a web server that strangers may ask."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.trusted_proxies),  # by default every client on this machine is believed
        forwarded_allow_ips=config.trusted_proxies,
        lifespan="on",
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
