# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What an operator can choose about the cache."""

from __future__ import annotations

import pydantic
from stoker_sdk.extension_points import settings


class CacheSettings(pydantic.BaseModel):
    """Settings of the plugin ``web-cache``."""

    model_config = pydantic.ConfigDict(extra="forbid")

    port: int = settings.field(8090, title="Port", description="Where the caches answer the balancers.", ge=1, le=65535)
    origin_port: int = settings.field(
        8091, title="Port of the origin", description="Where the balancers answer the caches.", ge=1, le=65535
    )
    seconds: int = settings.field(
        2, title="Seconds", description="How long a page is served before the web servers are asked again.", ge=1, le=86400
    )
    megabytes: int = settings.field(64, title="Size", description="How much is kept, in MiB.", ge=1, le=1048576)
