# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requirements: a name with the versions of it that fit, written as in Python packaging."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.requirements import InvalidRequirement, Requirement

from stoker_sdk.model.finding import Finding


def check_requirements(texts: Sequence[str], field: str, example: str) -> Iterable[Finding]:
    """A finding for each text that is not a name with versions and nothing else."""
    for index, text in enumerate(texts):
        try:
            requirement = Requirement(text)
            plain = not (requirement.extras or requirement.marker or requirement.url)
        except InvalidRequirement:
            plain = False
        if not plain:
            yield Finding(
                rule="P009", field=f"{field}[{index}]", message=f"{text!r} is not a requirement.", remedy=f"Write e.g. {example}."
            )
