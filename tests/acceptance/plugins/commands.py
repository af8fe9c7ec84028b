# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Small plugins made of commands, for faults."""

from stoker_sdk import Plugin
from stoker_sdk.extension_points import roles, tasks


def commands(name, *steps, tolerance=0):
    """A plugin with one role, named like it, whose tasks are (id, text, further fields)."""
    return Plugin(
        name=name,
        version="1.0.0",
        title=f"Commands of {name}",
        contributions=[
            roles.Role(name=name, tolerance=tolerance),
            *(tasks.Shell(id=task, roles=[name], run=text, **fields) for task, text, fields in steps),
        ],
    )
