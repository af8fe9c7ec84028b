# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What an operator can choose about time."""

from __future__ import annotations

from typing import Annotated

import pydantic
from stoker_sdk.extension_points import settings

Host = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9.:_-]+$", max_length=253)]
"""A host's name or address: one word, so that it cannot add a directive to the file."""

Network = Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$", max_length=64)]
"""An address or a network in CIDR form."""


class TimeSettings(pydantic.BaseModel):
    """Settings of the plugin ``ntp``."""

    model_config = pydantic.ConfigDict(extra="forbid")

    servers: list[Host] = settings.field(
        [],
        title="Upstream servers",
        description="Hosts that the ntp-server nodes take their time from. Empty: those nodes serve their own clock.",
    )
    stratum: int = settings.field(
        10,
        title="Stratum of the own clock",
        description="What ntp-server nodes announce when they serve their own clock; used only without upstream servers.",
        ge=1,
        le=15,
    )
    minpoll: int = settings.field(
        4,
        title="Shortest poll interval",
        description="As a power of two in seconds: 4 is 16 seconds.",
        ge=-4,
        le=17,
    )
    maxpoll: int = settings.field(
        8,
        title="Longest poll interval",
        description="As a power of two in seconds: 8 is 256 seconds. chrony needs it at or above the shortest.",
        ge=-4,
        le=17,
    )
    allow: list[Network] = settings.field(
        ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
        title="Networks that may ask",
        description="The ntp-server nodes answer clients of these networks.",
    )
