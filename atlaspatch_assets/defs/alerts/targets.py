"""Where messages go: URLs of Apprise (e-mail, web hooks, a hundred services), and a program."""

import os
import subprocess

from atlaspatch_core.config.sections import Alerts
from atlaspatch_core.errors import AtlasPatchError

SECONDS_OF_PROGRAM = 60
"""A program that takes longer is ended: the sensor that waits for it has to look at other things, too."""


class UndeliveredAlert(AtlasPatchError):
    """A message did not reach a target."""


def send_alert(alerts: Alerts, title: str, text: str) -> None:
    """Send a message to all targets.

    Raises UndeliveredAlert, once all were tried, naming the variables and programs that did not take it; never a URL.
    """
    undelivered = [complaint for name in alerts.url_variables if (complaint := _notify(name, title, text))]
    if alerts.command and (complaint := _start(alerts.command, f"{title}\n\n{text}\n")):
        undelivered.append(complaint)
    if undelivered:
        raise UndeliveredAlert("; ".join(undelivered))


def _notify(variable: str, title: str, text: str) -> str:
    """Send to the URL in a variable; return what went wrong."""
    url = os.environ.get(variable)
    if not url:
        return f"{variable}, which [alerts] url_variables names, is not set where the daemon runs"
    try:
        import apprise
    except ImportError:
        return "url_variables need Apprise; pip install 'atlaspatch[alerts]'"
    target = apprise.Apprise()
    if not target.add(url):
        return f"{variable} holds no URL that Apprise knows"
    return "" if target.notify(title=title, body=text) else f"the target in {variable} did not take the message"


def _start(command: tuple[str, ...], text: str) -> str:
    """Give the text to a program; return what went wrong."""
    try:
        done = subprocess.run(command, input=text, text=True, timeout=SECONDS_OF_PROGRAM, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]} did not take the message ({error})"
    return f"{command[0]} ended with exit code {done.returncode}" if done.returncode else ""
