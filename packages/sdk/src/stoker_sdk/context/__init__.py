# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a plugin's code is given when it is called: who it works for, its settings, its records, the server's API."""

from __future__ import annotations

from stoker_sdk.context.jobs import Job
from stoker_sdk.context.present import Api, ApiAnswer, Context, current, set_current
from stoker_sdk.context.records import Page, Record, Records
from stoker_sdk.context.values import Caller, Environment, Event, Object, PlanInput, PlanNode, Problem

__all__ = [
    "Api",
    "ApiAnswer",
    "Caller",
    "Context",
    "Environment",
    "Event",
    "Job",
    "Object",
    "Page",
    "PlanInput",
    "PlanNode",
    "Problem",
    "Record",
    "Records",
    "current",
    "set_current",
]
