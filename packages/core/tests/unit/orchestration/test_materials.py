# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets are filled in for nodes and taken out of what comes back."""

from __future__ import annotations

import pytest
from stoker.domain.plan import PlannedContent
from stoker.domain.secret import SecretSlot
from stoker.errors import NotFoundError
from stoker.orchestration.materials import Materials, Redactor

SECRETS = {("p", "key", 1): "correct-horse-battery"}


def test_a_content_gets_its_secret() -> None:
    content = PlannedContent(text=["key=", SecretSlot("p", "key", 1), "\n"], sha256="")
    assert Materials([content], SECRETS).content("0") == b"key=correct-horse-battery\n"


def test_a_missing_secret_is_named() -> None:
    content = PlannedContent(text=[SecretSlot("p", "key", 2)], sha256="")
    with pytest.raises(NotFoundError, match=r"p\.key v2"):
        Materials([content], SECRETS).content("0")


def test_output_shows_no_secret() -> None:
    assert Redactor(SECRETS)("token correct-horse-battery ok") == "token <secret p.key v1> ok"


def test_a_secret_cut_at_the_beginning_is_found() -> None:
    assert "battery" not in Redactor(SECRETS)("horse-battery and more", cut=True)
