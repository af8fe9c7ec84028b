from stoker_sdk import Dependency, Plugin, ref
from stoker_sdk.extension_points import roles, tasks

plugin = Plugin(
    name="site",
    version="1.0.0",
    title="A database first, then the web servers one by one",
    contributions=[
        roles.Role(name="database", min=1),
        roles.Role(name="web"),
        tasks.Packages(id="database-packages", roles=["database"], packages=["sqlite3"], phase="install"),
        tasks.Files(id="folders", roles=["*"], files=[tasks.FileItem(path="/srv/site", state="directory")]),
        tasks.Shell(
            id="create",
            roles=["database"],
            run='sqlite3 /srv/site/site.db "create table greetings (text)"',
            creates="/srv/site/site.db",
            after=["database-packages", "folders"],
        ),
        tasks.Shell(
            id="publish",
            roles=["web"],
            run='printf "%s\\n" "$NAME" > /srv/site/name',
            environment={"NAME": ref.node.name},
            after=["folders", Dependency("create", role="database")],
            concurrency=1,
        ),
        tasks.Service(name="cron", roles=["web"], restart_on=["task:publish"]),
        tasks.WaitFor(id="published", roles=["web"], file="/srv/site/name", phase="verify", timeout=30),
        tasks.Shell(id="forget", roles=["*"], run="rm -rf /srv/site", on="remove"),
    ],
)
