# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Releases: a product in a version, on an operating system, that an environment runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.version import InvalidVersion, Version

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import MAX_NAME, NAME
from stoker_sdk.model.requirement import check_requirements


class Release(Contribution, frozen=True, kw_only=True, tag="releases"):
    """A product that an environment runs; what it is made of are the same plugin's other contributions."""

    name: str
    """Unique on a server, e.g. ``web-cluster-debian12``: lower case letters, digits and dashes."""
    product: str
    """What other plugins mean in their field ``releases``, e.g. ``web-cluster``."""
    version: str
    """The product's version, as in Python packaging, e.g. ``1.0``."""
    title: str = ""
    """What a person reads; the name if empty."""
    description: str = ""
    """One or two sentences on what the product is for."""
    operating_systems: Sequence[str] = ()
    """Operating systems of its nodes, with versions: ``debian>=12,<13``. Any of these fits; empty: all do."""

    @property
    def label(self) -> str:
        """``releases NAME``."""
        return f"releases {self.name}"

    @property
    def identity(self) -> str:
        """The name, whatever the rest says."""
        return self.name

    def check(self) -> Iterable[Finding]:
        """Names, version and operating systems."""
        for field in ("name", "product"):
            text = getattr(self, field)
            if not NAME.fullmatch(text) or len(text) > MAX_NAME:
                yield Finding(
                    rule="J001",
                    field=field,
                    message=f"{text!r} is not a name.",
                    remedy="Use lower case letters, digits and dashes, at most 64; begin with a letter.",
                )
        try:
            Version(self.version)
        except InvalidVersion:
            yield Finding(rule="J002", field="version", message=f"{self.version!r} is not a version.", remedy="Write e.g. 1.0.")
        yield from check_requirements(self.operating_systems, "operating_systems", "debian>=12,<13")
        if self.when is not None:
            yield Finding(
                rule="J006",
                field="when",
                message="a release is there once its plugin is installed; no condition can be evaluated.",
                remedy="Leave it out.",
            )


POINT = ExtensionPoint(name="releases", combines="ordered set", scope="server", contributions=(Release,))
