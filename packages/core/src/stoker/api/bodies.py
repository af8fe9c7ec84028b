# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests: read as JSON, and refused with the reason where they are not."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.exceptions import ClientException, SerializationException
from litestar.status_codes import HTTP_400_BAD_REQUEST


class BodyError(ClientException):
    """The body cannot be read."""

    status_code = HTTP_400_BAD_REQUEST


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body may be anything that somebody sends."""

    async def json(self) -> Any:  # noqa: ANN401  any JSON value
        """The body's JSON value.

        Raises:
            BodyError: it is not JSON, or is nested too deeply.
        """
        try:
            return await super().json()
        except RecursionError as error:
            raise BodyError("the body is nested too deeply.") from error
        except UnicodeDecodeError as error:
            raise BodyError(f"the body is not UTF-8: byte {error.start} of a text does not fit.") from error
        except SerializationException as error:
            raise BodyError(f"the body is not JSON: {error.detail or error}.") from error
