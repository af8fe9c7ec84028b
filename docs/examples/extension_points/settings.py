import pydantic

from stoker_sdk import Plugin
from stoker_sdk.extension_points import settings


class Options(pydantic.BaseModel):
    port: int = settings.field(8080, title="Port", description="Where the service listens.", ge=1, le=65535)
    tls: bool = settings.field(False, title="TLS")
    host: str = settings.field("www.example.org", title="Name of the site")
    key: str = settings.field("", title="Key of the certificate", when="settings.tls", generator="x509", names="settings.host")
    password: str = settings.field("", title="Password of the administrator", generator="password", length=24)


plugin = Plugin(
    name="web-settings",
    version="1.0.0",
    title="Settings of a small web site",
    contributions=[settings.Settings.from_model(Options)],
)
