"""Whether the Hugging Face hub answers at all: asked once, within seconds, before its library tries for minutes."""

import os
import time
from functools import cache
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

SECONDS = 5.0
"""For the answer."""
SECONDS_REMEMBERED = 300
"""After which it is asked again: processes live long, and networks come back."""
HUB = "https://huggingface.co"


def hub_fault() -> str:
    """Return why the hub, or the mirror that ``HF_ENDPOINT`` names, does not answer; empty where it does."""
    return _fault_of(os.environ.get("HF_ENDPOINT") or HUB, int(time.monotonic() // SECONDS_REMEMBERED))


@cache
def _fault_of(address: str, _turn: int) -> str:
    try:
        urlopen(Request(address, method="HEAD"), timeout=SECONDS).close()
    except HTTPError:  # it answers
        return ""
    except URLError as error:
        cause = error.reason
    except (OSError, ValueError) as error:
        cause = error
    else:
        return ""
    if not isinstance(cause, ConnectionError | TimeoutError) and type(cause).__name__ != "gaierror":
        return ""  # a certificate, say: the library of the hub may know better
    why = f"no answer within {SECONDS:g} s" if isinstance(cause, TimeoutError) else str(cause)
    return f"{address} cannot be reached: {why}"
