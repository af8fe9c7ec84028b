# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The errors of the lab: what could not be done, where, and what to do about it."""

from __future__ import annotations

from stoker.errors import StokerError


class LabError(StokerError, RuntimeError):
    """The lab could not do what was asked."""

    kind = "lab"


class LabMissingError(LabError):
    """This machine lacks something that a lab needs."""

    kind = "lab-missing"


class NodeNotFoundError(LabError, LookupError):
    """The lab has no node of that name."""

    status = 404
    kind = "lab-node-not-found"


class LabNameError(LabError, ValueError):
    """A name that files, interfaces and hosts cannot have."""

    status = 422
    kind = "lab-name"
