# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that a plugin can contribute: one file is one extension point, found here without a list."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from stoker_sdk.model.contribution import Contribution, ExtensionPoint


@cache
def all_points() -> dict[str, ExtensionPoint]:
    """All extension points by name, found by looking at the files of this package."""
    points: dict[str, ExtensionPoint] = {}
    for module in pkgutil.iter_modules(__path__):
        point: ExtensionPoint = importlib.import_module(f"{__name__}.{module.name}").POINT
        points[point.name] = point
    return dict(sorted(points.items()))


@cache
def contribution_types() -> dict[str, type[Contribution]]:
    """All contribution classes by the name that stands under ``point`` in JSON and YAML."""
    return {str(kind.__struct_config__.tag): kind for point in all_points().values() for kind in point.contributions}
