from flask import Flask, abort, jsonify, request, url_for
from stoker_sdk import Plugin, RESTAPIPlugin, code
from stoker_sdk.context import current
from stoker_sdk.extension_points import permissions, rest_api

app = Flask(__name__)
notes: list[str] = []


@app.get("/notes")
def read_notes():
    return jsonify(notes=notes, for_whom=current().caller.name, here=url_for("read_notes"))


@app.post("/notes")
def write_note():
    if not request.is_json:
        abort(415)
    notes.append(str(request.get_json()["text"]))
    return jsonify(notes=notes), 201


class Notes(RESTAPIPlugin):
    application = app


plugin = Plugin(
    name="flask-notes",
    version="1.0.0",
    title="Notes, with Flask",
    contributions=[
        permissions.Permission(name="write", title="Write notes", access="operator"),
        rest_api.RestApi(call=code(Notes), routes=[rest_api.Route(path="/notes", methods=["POST"], permission="write")]),
    ],
)
