import pydantic

from stoker_sdk import Plugin, ref
from stoker_sdk.extension_points import config_files, health_checks, roles, settings, tasks


class Options(pydantic.BaseModel):
    text: str = settings.field("Hello", title="Text", description="What a node greets with.", max_length=80)


plugin = Plugin(
    name="greeting",
    version="1.0.0",
    title="A greeting on every node",
    contributions=[
        roles.Role(name="greeter", title="Greeter", min=1),
        settings.Settings.from_model(Options),
        config_files.ConfigFile(path="/etc/greeting.ini", format="ini"),
        config_files.Option(path="/etc/greeting.ini", section="greeting", key="text", value=ref.settings.text),
        config_files.Option(path="/etc/greeting.ini", section="greeting", key="node", value=ref.node.name),
        tasks.Shell(
            id="greet",
            roles=["greeter"],
            title="Write the greeting where people log in",
            run='printf "%s, this is %s\\n" "$TEXT" "$NODE" > /etc/motd',
            environment={"TEXT": ref.settings.text, "NODE": ref.node.name},
            after=["files"],
            idempotent=True,
        ),
        tasks.Shell(id="forget", roles=["greeter"], run=": > /etc/motd", on="remove"),
        health_checks.HealthCheck(id="greets", roles=["greeter"], title="The greeting is there", run="test -s /etc/motd"),
    ],
)
