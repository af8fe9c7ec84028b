# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests made from the API's own description, fitting and faulty ones: no answer is a fault or undescribed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, strategies
from schemathesis import checks
from schemathesis.core.failures import FailureGroup

SLOW = ("/plans", "/deployments", "/checks", "/retry", "/refresh", "/nodes", "/drift", "/replace", "/apply")
"""Ends of paths whose POST plans or connects: fewer requests each."""
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
_SECONDS = 20
_UNEXPECTED = 500


class Fuzzer:
    """Asks one server everything that it describes."""

    def __init__(self, url: str, token: str, known: Mapping[str, list[str]], *, examples: int, seed: int) -> None:
        """Take the server.

        Args:
            url: where it is.
            token: the admin's.
            known: names of path parameters -> values that are there, so that requests come past the first lookup.
            examples: requests for each operation and kind of data.
            seed: gives the same requests again.
        """
        self._headers = {"Authorization": f"Bearer {token}"}
        document = requests.get(f"{url}/api/openapi.json", headers=self._headers, timeout=_SECONDS).json()
        self._schema = schemathesis.openapi.from_dict(document)
        self._schema.config.update(base_url=url)
        self._known = known
        self._examples = examples
        self._seed = seed
        self._session = requests.Session()
        self.answers: Counter[tuple[str, int]] = Counter()
        """(METHOD PATH, status) -> how often."""

    def operations(self) -> list[object]:
        """Every operation; what deletes comes last, so that the others find something."""
        found = [result.ok() for result in self._schema.get_all_operations()]
        return sorted(found, key=lambda item: (item.method.upper() == "DELETE", item.label))

    def faults(self) -> Iterator[str]:
        """Ask all, with data that fits the description and with data that does not; a text for each operation that fails."""
        for operation in self.operations():
            for mode in schemathesis.GenerationMode:
                if fault := self.ask(operation, mode):
                    yield f"{operation.label} ({mode.value} data):\n{fault}"

    def ask(self, operation: object, mode: schemathesis.GenerationMode) -> str:
        """Ask one operation; what is wrong with the first answer that is wrong."""
        slow = operation.method.upper() == "POST" and operation.path.endswith(SLOW)
        stream = "text/event-stream" in str(operation.definition.raw["responses"])
        cases = strategies.tuples(operation.as_strategy(generation_mode=mode), self._values(operation))

        @hypothesis.seed(self._seed)
        @hypothesis.settings(
            max_examples=max(2, self._examples // 8) if slow or stream else self._examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(cases)
        def one(drawn) -> None:
            case, values = drawn
            case.path_parameters = {**(case.path_parameters or {}), **values}
            self._send(operation, case, stream=stream)

        try:
            one()
        except hypothesis.errors.Unsatisfiable:
            return ""  # nothing can be sent that does not fit
        except FailureGroup as failures:
            return "\n".join(str(failure) for failure in failures.exceptions) + f"\n{failures}"
        except (AssertionError, hypothesis.errors.Flaky, requests.exceptions.RequestException) as error:
            return str(error)
        return ""

    def _values(self, operation: object) -> strategies.SearchStrategy[dict[str, str]]:
        """Mostly things that are there."""
        fitting = {
            parameter.name: strategies.sampled_from(values)
            for parameter in operation.path_parameters
            if (values := self._known.get(parameter.name))
        }
        there = strategies.fixed_dictionaries(fitting)
        return strategies.one_of(there, there, there, strategies.just({}))

    def _send(self, operation: object, case: object, *, stream: bool) -> None:
        try:
            answer = case.call(headers=self._headers, session=self._session, timeout=_SECONDS, stream=stream)
        except requests.exceptions.InvalidHeader:
            return  # no client can send it
        self.answers[operation.label, answer.status_code] += 1
        if answer.status_code == _UNEXPECTED:
            raise AssertionError(f"{case.as_curl_command()}\n{answer.text}")
        with contextlib.suppress(requests.exceptions.ConnectionError):
            case.validate_response(answer, checks=CHECKS[:2] if stream else CHECKS)
