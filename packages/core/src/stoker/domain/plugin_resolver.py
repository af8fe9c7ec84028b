# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The resolver: which few changes would let plugins be enabled together that need or exclude each other."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

_ABSENT: Final = ""
"""Stands for a version that would have to be installed first."""
_MOST_LOOKED_AT: Final = 5000
_COSTS: Final = {"switch": 2, "enable": 2, "install": 7, "disable": 15}
_COST_OF_CHOICE: Final = 1
"""What it costs more to change what somebody has just chosen."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """An installed plugin version that may be used."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    """Plugins that must be enabled beside it, e.g. ``base>=1.2``."""
    conflicts: tuple[str, ...] = ()
    """Plugins that must not be enabled beside it."""


class Step(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One change."""

    plugin: str
    action: Literal["switch", "enable", "install", "disable"]
    """To another installed version, an installed one that is not enabled, one that is not installed, or none."""
    version: str = ""
    """The one to have then; empty where it must be installed first, or goes."""
    before: str = ""
    """The one that it is now, if any."""
    versions: str = ""
    """Which ones would do, where one must be installed first."""

    def __str__(self) -> str:
        if self.action == "disable":
            return f"disable {self.plugin}"
        if self.action == "install":
            goal = "upgrade to it" if self.before else "enable it"
            return f"install {self.plugin} {self.versions}".rstrip() + f" and {goal}"
        if self.action == "enable":
            return f"enable {self.plugin} {self.version}, which is installed"
        verb = "upgrade" if Version(self.version) > Version(self.before) else "take"
        change = f"{self.plugin} to {self.version}" if verb == "upgrade" else f"{self.plugin} back to {self.version}"
        return f"{verb} {change}, which is installed"


_State: TypeAlias = tuple[tuple[str, str], ...]
"""Name and version of what is enabled, by name."""


class _Unmet(msgspec.Struct, frozen=True):
    """A requirement or conflict that does not hold."""

    owner: str
    other: str
    specifier: str
    wanted: bool
    """Whether the other one is needed, or excluded."""


def resolve(
    known: Sequence[Known], enabled: Mapping[str, str], *, chosen: str = "", without: Collection[str] = ()
) -> list[Step] | None:
    """The cheapest changes with which all requirements and conflicts hold; the same for the same input, in whatever order.

    Args:
        known: all installed versions that may be used.
        enabled: name -> version of what shall be enabled together.
        chosen: the plugin that somebody wants; it stays, if need be in another version.
        without: plugins that must not come back.

    Returns:
        Nothing to do (an empty list), the changes, or ``None``: there is no way.
    """
    search = _Search(known, chosen, frozenset(without))
    begin = tuple(sorted(enabled.items()))
    waiting: list[tuple[int, _State]] = [(0, begin)]
    best = {begin: 0}
    for _ in range(_MOST_LOOKED_AT):
        if not waiting:
            return None
        cost, state = heapq.heappop(waiting)
        if cost > best[state]:
            continue
        unmet = search.unmet(state)
        if unmet is None:
            return search.steps(dict(enabled), dict(state))
        for changed in search.ways_out(dict(state), unmet):
            after = tuple(sorted(changed.items()))
            price = search.price(dict(enabled), changed)
            if price < best.get(after, price + 1):
                best[after] = price
                heapq.heappush(waiting, (price, after))
    return None


class _Search:
    """What is asked of each state."""

    def __init__(self, known: Sequence[Known], chosen: str, without: frozenset[str]) -> None:
        self._known = {(item.name, item.version): item for item in known}
        self._versions: dict[str, list[str]] = {}
        for name, version in sorted(self._known, key=lambda key: (key[0], Version(key[1])), reverse=True):
            self._versions.setdefault(name, []).append(version)
        self._chosen = chosen
        self._without = without

    def unmet(self, state: _State) -> _Unmet | None:
        """The first requirement or conflict that does not hold."""
        enabled = dict(state)
        for name, version in state:
            item = self._known.get((name, version))
            for text, wanted in (
                *((text, True) for text in (item.requires if item else ())),
                *((text, False) for text in (item.conflicts if item else ())),
            ):
                other, specifier = parse(text)
                if other != name and wanted != self._holds(enabled, other, specifier, wanted=wanted):
                    return _Unmet(name, other, specifier, wanted)
        return next(
            (_Unmet(name, name, "", True) for name, version in state if version == _ABSENT and not self._possible(enabled, name)),
            None,
        )

    @staticmethod
    def _holds(enabled: Mapping[str, str], other: str, specifier: str, *, wanted: bool) -> bool:
        """Whether a plugin is enabled in such a version; one that is to be installed is taken to be as wanted."""
        version = enabled.get(other)
        if version is None:
            return False
        if version == _ABSENT:
            return wanted or not specifier
        return fits(version, specifier)

    def _demands(self, enabled: Mapping[str, str], name: str) -> dict[str, str]:
        """Who needs a plugin -> in which versions."""
        found = {}
        for owner, version in sorted(enabled.items()):
            item = self._known.get((owner, version))
            wanted = [
                specifier for text in (item.requires if item else ()) for other, specifier in [parse(text)] if other == name
            ]
            if wanted:
                found[owner] = ",".join(filter(None, wanted))
        return found

    def _possible(self, enabled: Mapping[str, str], name: str) -> bool:
        """Whether any version could be as all the others want it."""
        return satisfiable(_joined(self._demands(enabled, name).values()))

    def ways_out(self, enabled: dict[str, str], unmet: _Unmet) -> Iterator[dict[str, str]]:
        """States in which it may hold."""
        owner, other = unmet.owner, unmet.other
        if owner == other:  # no version could be as all want it: somebody must want another one, or go
            for one in self._demands(enabled, other):
                yield from self._without_its_wish(enabled, one)
            return
        if unmet.wanted and other not in self._without:
            for version in self._versions.get(other, ()):
                if fits(version, unmet.specifier) and enabled.get(other) != version:
                    yield {**enabled, other: version}
            if enabled.get(other) != _ABSENT and not any(fits(v, unmet.specifier) for v in self._versions.get(other, ())):
                yield {**enabled, other: _ABSENT}
        if not unmet.wanted:
            for version in self._versions.get(other, ()):
                if not fits(version, unmet.specifier):
                    yield {**enabled, other: version}
            if other != self._chosen:
                yield {name: version for name, version in enabled.items() if name != other}
        yield from self._without_its_wish(enabled, owner)

    def _without_its_wish(self, enabled: dict[str, str], owner: str) -> Iterator[dict[str, str]]:
        for version in self._versions.get(owner, ()):
            if version != enabled[owner]:
                yield {**enabled, owner: version}
        if owner != self._chosen:
            yield {name: version for name, version in enabled.items() if name != owner}

    def steps(self, before: Mapping[str, str], after: Mapping[str, str]) -> list[Step]:
        """What changes from one state to another."""
        found = []
        for name in sorted(before.keys() | after.keys()):
            old, new = before.get(name), after.get(name)
            if new is None:
                found.append(Step(plugin=name, action="disable", before=old or ""))
            elif new == _ABSENT:
                wanted = _joined(self._demands(after, name).values())
                found.append(Step(plugin=name, action="install", before=old or "", versions=wanted))
            elif old is None:
                found.append(Step(plugin=name, action="enable", version=new))
            elif old != new:
                found.append(Step(plugin=name, action="switch", version=new, before=old))
        return found

    def price(self, before: Mapping[str, str], after: Mapping[str, str]) -> int:
        """How much is to be changed; of two versions that do, the newer one."""
        total = 0
        for step in self.steps(before, after):
            total += _COSTS[step.action] * 100 + (_COST_OF_CHOICE * 100 if step.plugin == self._chosen else 0)
            if step.version:
                total += min(self._versions[step.plugin].index(step.version), 99)
        return total


def _joined(specifiers: Iterable[str]) -> str:
    return ",".join(sorted({part for specifier in specifiers for part in specifier.split(",") if part}))


@lru_cache(maxsize=4096)
def parse(text: str) -> tuple[str, str]:
    """Name and specifier of a requirement; one that cannot be read is taken for a name."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return text, ""
    return requirement.name, str(requirement.specifier)


@lru_cache(maxsize=4096)
def fits(version: str, specifier: str) -> bool:
    """Whether a version is one of those that a specifier means."""
    return SpecifierSet(specifier).contains(Version(version), prereleases=True)


@lru_cache(maxsize=1024)
def satisfiable(specifier: str) -> bool:
    """Whether there can be a version that a specifier means: one of its own, or one just beside it."""
    tried = {"0", "99999"}
    for part in SpecifierSet(specifier):
        version = part.version.removesuffix(".*")
        tried |= {version, f"{version}.1", f"{version}.dev0"}
    return any(fits(version, specifier) for version in tried)
