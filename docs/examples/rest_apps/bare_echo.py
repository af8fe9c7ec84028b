import json
from collections.abc import Callable, Iterable
from typing import Any

from stoker_sdk import Plugin, RESTAPIPlugin, code
from stoker_sdk.context import current
from stoker_sdk.extension_points import rest_api


class Echo(RESTAPIPlugin):
    @staticmethod
    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        now = current()
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        told = {
            "path": environ["PATH_INFO"],
            "below": environ["SCRIPT_NAME"],
            "access": now.caller.access,
            "body": body.decode(),
        }
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]


plugin = Plugin(
    name="bare-echo",
    version="1.0.0",
    title="An echo, with nothing but WSGI",
    contributions=[rest_api.RestApi(call=code(Echo))],
)
