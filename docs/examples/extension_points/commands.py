import flask

from stoker_sdk import Plugin, RESTAPIPlugin, code
from stoker_sdk.extension_points import commands, rest_api
from stoker_sdk.extension_points.commands import Parameter

app = flask.Flask(__name__)


@app.get("/shelves")
def list_shelves() -> flask.Response:
    """What stands on each shelf, as a list of rows."""
    rows = [{"shelf": "r1-3", "room": "r1", "nodes": ["web1"]}]
    return flask.jsonify([row for row in rows if flask.request.args.get("room") in (None, row["room"])])


@app.put("/shelves/<shelf>/nodes/<node>")
def put(shelf: str, node: str) -> flask.Response:
    """Say what was done, as an object."""
    return flask.jsonify({"shelf": shelf, "node": node, "height": flask.request.get_json().get("height", 0)})


class Shelves(RESTAPIPlugin):
    """Answers the commands."""

    application = app


plugin = Plugin(
    name="shelves",
    version="1.0.0",
    title="Shelves of nodes",
    contributions=[
        rest_api.RestApi(call=code(Shelves)),
        commands.Command(
            name="list",
            title="List shelves and what stands on them.",
            path="/shelves",
            parameters=[Parameter(name="room", help="Only those in this room.")],
            columns=["shelf", "room", "nodes"],
            examples=["stoker shelves list --env lab --room r1"],
        ),
        commands.Command(
            name="put",
            title="Say on which shelf a node stands.",
            path="/shelves/{shelf}/nodes/{node}",
            method="PUT",
            parameters=[
                Parameter(name="shelf", kind="argument", required=True),
                Parameter(name="node", kind="argument", required=True),
                Parameter(name="height", type="integer", help="Units above the floor."),
            ],
        ),
    ],
)
