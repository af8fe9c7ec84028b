# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Choosing components: what a partial choice implies, leaves open and makes impossible, and why; whatever the order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, Literal, TypeAlias

import msgspec

from stoker.errors import InvalidInputError

MOST_STEPS: Final = 2_000_000
"""Looks at clauses that one question may take before it counts as too hard: plugins could set puzzles."""

_Literal: TypeAlias = tuple[str, bool]


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A component that can be chosen."""

    name: str
    """``GROUP:NAME``."""
    plugin: str
    requires: Sequence[str] = ()
    conflicts: Sequence[str] = ()

    @property
    def group(self) -> str:
        """The group that it is a choice of."""
        return self.name.partition(":")[0]

    def __str__(self) -> str:
        """Component and plugin, for reasons."""
        return f"{self.name} (plugin {self.plugin})"


class Reasoned(msgspec.Struct, frozen=True, kw_only=True):
    """A component of which the choice decides, with the reasons."""

    name: str
    reasons: list[str]
    """Sentences that name both sides."""


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """A group of which something has still to be chosen."""

    group: str
    candidates: list[str]
    """Components that are still possible."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a partial choice."""

    chosen: list[str]
    implied: list[Reasoned] = []
    """What comes along, whatever else is chosen."""
    possible: list[str] = []
    """What may be chosen or not."""
    impossible: list[Reasoned] = []
    open: list[Open] = []
    contradiction: list[str] = []
    """Why the choice cannot be; empty if it can."""

    @property
    def complete(self) -> bool:
        """Whether nothing has to be chosen any more."""
        return not self.open and not self.contradiction

    @property
    def taken(self) -> list[str]:
        """All components that the environment gets."""
        return sorted({*self.chosen, *(item.name for item in self.implied)})


class _Clause(msgspec.Struct, frozen=True, order=True):
    """One of these must hold, and the sentence that says why."""

    text: str
    literals: tuple[_Literal, ...]


class Solver:
    """Answers questions about a set of components."""

    def __init__(
        self,
        offers: Iterable[Offer],
        groups: Mapping[str, Literal["any", "some", "one"]],
        *,
        tolerant: bool = False,
    ) -> None:
        """Make clauses of what components and groups say.

        Args:
            offers: in any order; names differ.
            groups: how many of each group are taken; ``any`` of those that are not there.
            tolerant: what is missing may still come: it hinders nobody, and no group asks for anything.
        """
        self._offers = {offer.name: offer for offer in sorted(offers, key=lambda offer: offer.name)}
        self._members: dict[str, list[str]] = {}
        for name, offer in self._offers.items():
            self._members.setdefault(offer.group, []).append(name)
        self._groups = {name: how for name, how in sorted(groups.items()) if name in self._members}
        self._tolerant = tolerant
        self._rules = sorted({*self._of_offers(), *self._of_groups()})
        self._steps = 0

    def solve(self, chosen: Iterable[str]) -> Choice:
        """What follows from a choice.

        Raises:
            InvalidInputError: a chosen component is not offered, or the question is too hard.
        """
        self._steps = 0
        picked = sorted(set(chosen))
        for name in picked:
            if name not in self._offers:
                raise InvalidInputError(f"there is no component {name!r}.", remedy="'stoker components list' shows all.")
        clauses = [*self._rules, *(_Clause(f"{self._offers[name]} is chosen.", ((name, True),)) for name in picked)]
        model = self._model(clauses, {})
        if model is None:
            return Choice(chosen=picked, contradiction=self._core(clauses, {}))
        seen = {name: {value} for name, value in model.items()}
        implied, impossible, possible = [], [], []
        for name in self._offers:
            if name in picked:
                continue
            for value in (True, False):
                if value not in seen[name] and (other := self._model(clauses, {name: value})) is not None:
                    for found, what in other.items():
                        seen[found].add(what)
            if len(seen[name]) == 2:
                possible.append(name)
            elif True in seen[name]:
                implied.append(Reasoned(name=name, reasons=self._core(clauses, {name: False})))
            else:
                impossible.append(Reasoned(name=name, reasons=self._core(clauses, {name: True})))
        taken = {*picked, *(item.name for item in implied)}
        return Choice(
            chosen=picked,
            implied=implied,
            possible=possible,
            impossible=impossible,
            open=list(self._open(taken, possible)),
        )

    def contradictions(self) -> Iterator[Reasoned]:
        """Components that can never be chosen, with the reasons."""
        for name in self._offers:
            self._steps = 0
            if self._model(self._rules, {name: True}) is None:
                yield Reasoned(name=name, reasons=self._core(self._rules, {name: True}))

    def _of_offers(self) -> Iterator[_Clause]:
        for name, offer in self._offers.items():
            for other in offer.requires:
                members = [other] if other in self._offers else self._members.get(other, [])
                if members:
                    what = self._called(other)
                    yield _Clause(f"{offer} requires {what}.", ((name, False), *((member, True) for member in members)))
                elif not self._tolerant:
                    what = f"{other}, which no installed plugin brings for this release"
                    yield _Clause(f"{offer} requires {what}.", ((name, False),))
            for other in offer.conflicts:
                members = [other] if other in self._offers else self._members.get(other, [])
                for member in members:
                    if member != name:
                        first, second = sorted((name, member))
                        text = f"{offer} conflicts with {self._offers[member]}."
                        yield _Clause(text, ((first, False), (second, False)))

    def _called(self, name: str) -> str:
        return str(self._offers[name]) if name in self._offers else f"a component of the group {name}"

    def _of_groups(self) -> Iterator[_Clause]:
        for group, how in self._groups.items():
            members = self._members[group]
            if how != "any" and not self._tolerant:
                yield _Clause(f"The group {group} needs a component.", tuple((member, True) for member in members))
            for one, two in combinations(members, 2) if how == "one" else ():
                text = f"The group {group} takes one component: {self._offers[one]} or {self._offers[two]}."
                yield _Clause(text, ((one, False), (two, False)))

    def _open(self, taken: set[str], possible: Sequence[str]) -> Iterator[Open]:
        """Groups, also those that a taken component asks for, of which nothing is taken yet."""
        asked = {group for group, how in self._groups.items() if how != "any"}
        for name in taken:
            asked |= {other for other in self._offers[name].requires if other not in self._offers}
        for group in sorted(asked):
            members = self._members.get(group, [])
            if not taken.intersection(members):
                yield Open(group=group, candidates=[member for member in members if member in possible])

    def _core(self, clauses: Sequence[_Clause], assumed: Mapping[str, bool]) -> list[str]:
        """Sentences that together make an assumption impossible; none can be left out."""
        needed = list(clauses)
        following = _Following(clauses, dict(assumed))
        if not following.all():
            led = following.led_there()
            needed = [clause for clause in clauses if clause in led]
        for clause in list(needed):
            rest = [other for other in needed if other != clause]
            if self._model(rest, assumed) is None:
                needed = rest
        return [clause.text for clause in needed]

    def _model(self, clauses: Sequence[_Clause], assumed: Mapping[str, bool]) -> dict[str, bool] | None:
        """Values for all components that fit all clauses; ``None`` if there are none."""
        first = _Following(clauses, dict(assumed))
        waiting = [first] if first.all() else []
        self._count(first)
        while waiting:
            following = waiting.pop()
            name = next((name for name in self._offers if name not in following.values), None)
            if name is None:
                return following.values
            # Tried last is what is put first: without what nobody needs.
            for value in (True, False):
                further = following.with_value(name, value)
                self._count(further)
                if not further.broken:
                    waiting.append(further)
        return None

    def _count(self, following: _Following) -> None:
        self._steps += following.looks
        if self._steps > MOST_STEPS:
            raise InvalidInputError(
                "the components require and exclude each other in too many ways to find out what follows.",
                remedy="Choose more components, or uninstall a plugin whose components ask for so much.",
            )


class _Following:
    """Follows what clauses leave no choice about, from the values that are known."""

    def __init__(self, clauses: Sequence[_Clause], values: dict[str, bool]) -> None:
        self.values = values
        self.looks = 0
        """How many clauses were looked at."""
        self.broken: _Clause | None = None
        self._clauses = clauses
        self._because: dict[str, _Clause] = {}
        self._with: dict[str, list[_Clause]] = {}
        for clause in clauses:
            for name, _ in clause.literals:
                self._with.setdefault(name, []).append(clause)

    def all(self) -> bool:
        """Look at every clause; answers whether none is broken."""
        return self._look(list(self._clauses))

    def with_value(self, name: str, value: bool) -> _Following:
        """The same with one value more."""
        further = object.__new__(_Following)
        further.values = {**self.values, name: value}
        further.looks, further.broken = 0, None
        further._clauses, further._with, further._because = self._clauses, self._with, {}
        further._look(list(self._with.get(name, ())))
        return further

    def led_there(self) -> set[_Clause]:
        """The broken clause, and those that led to it."""
        found: set[_Clause] = set()
        waiting = [self.broken] if self.broken is not None else []
        while waiting:
            clause = waiting.pop()
            if clause not in found:
                found.add(clause)
                waiting += [self._because[name] for name, _ in clause.literals if name in self._because]
        return found

    def _look(self, waiting: list[_Clause]) -> bool:
        values = self.values
        place = 0
        while place < len(waiting):
            clause = waiting[place]
            place += 1
            self.looks += 1
            left = [literal for literal in clause.literals if literal[0] not in values]
            if len(left) > 1 or any(values.get(name) is value for name, value in clause.literals):
                continue
            if not left:
                self.broken = clause
                return False
            name, value = left[0]
            values[name] = value
            self._because[name] = clause
            waiting += self._with[name]
        return True
