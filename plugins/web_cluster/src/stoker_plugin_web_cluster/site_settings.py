# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What an operator can choose about the web site."""

from __future__ import annotations

import pydantic
from stoker_sdk.extension_points import settings

PAGE_TEXT = r"^[^<>&{}\r\n]*$"
"""One line that means nothing to HTML."""


class SiteSettings(pydantic.BaseModel):
    """Settings of the plugin ``web-cluster``."""

    model_config = pydantic.ConfigDict(extra="forbid")

    port: int = settings.field(80, title="Port", description="Where the balancers answer.", ge=1, le=65535)
    web_port: int = settings.field(
        8080, title="Port of the web servers", description="Where the balancers ask the web servers.", ge=1, le=65535
    )
    title: str = settings.field(
        "It works", title="Title of the page", description="One line of text.", max_length=200, pattern=PAGE_TEXT
    )
    text: str = settings.field(
        "This page comes from a cluster.",
        title="Text of the page",
        description="One line of text.",
        max_length=2000,
        pattern=PAGE_TEXT,
    )
    keepalive: int = settings.field(
        30,
        title="Seconds that connections to web servers are kept",
        description="How long a web server keeps an idle connection of a balancer.",
        ge=1,
        le=3600,
    )
    max_connections: int = settings.field(
        4096, title="Connections", description="How many connections a balancer takes at once.", ge=16, le=100000
    )
