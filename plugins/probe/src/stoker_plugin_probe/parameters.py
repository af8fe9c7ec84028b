# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What can be asked of pages: the parameters of the kind ``http_probe``, and the plugin's settings."""

from __future__ import annotations

import pydantic
from stoker_sdk.extension_points import settings


class Page(pydantic.BaseModel):
    """One page and the answer that is expected."""

    model_config = pydantic.ConfigDict(extra="forbid")

    url: str = settings.field(title="URL", description="http:// or https://", pattern="^https?://[^\\s]+$")
    status: int = settings.field(200, title="Status", description="The HTTP status of the answer.", ge=100, le=599)
    text: str = settings.field("", title="Text", description="What must stand in the answer.")


class ProbeParameters(pydantic.BaseModel):
    """Parameters of a task."""

    model_config = pydantic.ConfigDict(extra="forbid")

    pages: list[Page]
    within: float = pydantic.Field(60, gt=0, le=86400, description="Seconds in which all pages must answer.")
    interval: float = pydantic.Field(1, gt=0, le=3600, description="Seconds between two looks.")
    token: str = pydantic.Field("", description="Sent as a bearer token; may be a secret.")


class ProbeSettings(pydantic.BaseModel):
    """What the operator says."""

    model_config = pydantic.ConfigDict(extra="forbid")

    pages: list[Page] = settings.field([], title="Pages", description="Pages that every node must see after a deployment.")
    within: int = settings.field(60, title="Patience", description="Seconds in which all pages must answer.", ge=1, le=3600)
    token: str = settings.field("", title="Token", description="Sent to the pages as a bearer token.", secret=True)
