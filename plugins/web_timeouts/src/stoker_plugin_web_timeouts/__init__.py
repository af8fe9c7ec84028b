# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Timeouts of a web cluster's balancer: options that the release gives as defaults, set from outside."""

from __future__ import annotations

import pydantic
from stoker_sdk import Plugin, ref
from stoker_sdk.extension_points import config_files, settings


class TimeoutSettings(pydantic.BaseModel):
    """Settings of the plugin ``web-timeouts``."""

    model_config = pydantic.ConfigDict(extra="forbid")

    client: int = settings.field(
        60, title="Client", description="Seconds without a word from a client until it is given up.", ge=1, le=86400
    )
    server: int = settings.field(
        60, title="Server", description="Seconds without a word from a web server until it is given up.", ge=1, le=86400
    )


plugin = Plugin(
    name="web-timeouts",
    version="1.0.0",
    title="Timeouts of a web cluster's balancer",
    description="Sets how long the balancers of `web-cluster` wait for clients and for web servers.",
    releases=("web-cluster>=1,<2",),
    license="Apache-2.0",
    contributions=(
        settings.Settings.from_model(TimeoutSettings),
        *(
            config_files.Option(
                service="balancer", section="defaults", key=f"timeout {side}", value=ref(f"string(settings.{side})") + "s"
            )
            for side in ("client", "server")
        ),
    ),
)
