# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter with which a reader says whose data in ``ext`` they want."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from litestar.params import QueryParameter

ExtNames: TypeAlias = Annotated[
    str,
    QueryParameter(
        name="ext",
        max_length=2_000,
        description="Plugins whose data `ext` shows, with commas between their names; `none` for none; all if not given.",
    ),
]
