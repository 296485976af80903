"""Addresses of object stores that the environment names, looked at before a library that crashes by a wrong one."""

import os
import re
from collections.abc import Mapping

from atlaspatch_core.errors import UnreachableStore

VARIABLES = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""Scheme of a URL to the variables that name another place than that of the maker of the store."""


WEB_ADDRESS = re.compile(
    r"https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\])"
    r"(:(?P<port>[0-9]{1,5}))?(/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
)
PORTS = range(1, 1 << 16)


def check_endpoints(root: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise UnreachableStore where a variable that names the address of a store is no http or https URL with a host."""
    for variable in VARIABLES.get(root.partition(":")[0], ()):
        value = environment.get(variable, "")
        if value and not is_web_address(value):
            raise UnreachableStore(
                f"{root}: {variable} is {value!r}, which is no URL of a server; give such as "
                "'https://s3.example.org:9000', or unset it"
            )


def is_web_address(text: str) -> bool:
    """Tell whether a text is an http or https URL of a host, perhaps with a port and a path (RFC 3986)."""
    match = WEB_ADDRESS.fullmatch(text)
    return match is not None and int(match["port"] or 1) in PORTS
