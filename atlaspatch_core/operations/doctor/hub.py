"""The Hugging Face hub: whether it answers, who we are there, and whether it gives us the weights."""

import os
from collections.abc import Iterator

from atlaspatch_core.encoders.hub import HubWeights, offline
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok, warn
from atlaspatch_core.operations.doctor.weights import Needed, networks

SECONDS = 10.0
"""For one question to the hub."""


def hub(subject: Subject) -> Iterator[DoctorFinding]:
    """Ask the hub, only where it is allowed."""
    if not subject.hub:
        return
    if offline():
        cure = "unset HF_HUB_OFFLINE and ATLASPATCH_OFFLINE to ask the hub"
        yield warn("hub", "not asked, as the environment says that this machine is offline", cure)
        return
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        yield fail("hub", "huggingface_hub is not installed", "run: pip install huggingface_hub")
        return
    token = huggingface_hub.get_token()
    yield _who(token)
    for needed in networks(subject.recipe) if subject.recipe else ():
        if isinstance(needed.source, HubWeights):
            yield _access(needed, needed.source, token)


def _who(token: str | None) -> DoctorFinding:
    from huggingface_hub import HfApi

    if token is None:
        return warn("hub token", "there is none: weights on request cannot be fetched", "run: hf auth login")
    try:
        name = HfApi(endpoint=_endpoint()).whoami(token=token)["name"]
    except Exception as error:  # of huggingface_hub, or of the library that it speaks HTTP by
        return fail("hub token", f"the hub does not take it ({_one_line(error)})", "run: hf auth login, or go online")
    return ok("hub token", f"logged in as {name}")


def _access(needed: Needed, source: HubWeights, token: str | None) -> DoctorFinding:
    """Ask for the head of a file, without fetching it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    file = (source.files or ("config.json",))[0]
    kind = "dataset" if source.dataset else "model"
    url = hf_hub_url(source.repository, file, repo_type=kind, revision=source.revision, endpoint=_endpoint())
    try:
        get_hf_file_metadata(url, token=token, timeout=SECONDS)
    except EntryNotFoundError:
        pass  # the repository may be read: it calls the file otherwise
    except (GatedRepoError, RepositoryNotFoundError):
        return fail("hub access", f"{needed.name}: {source.page} refuses it", "ask for access there, and log in")
    except Exception as error:  # of huggingface_hub, or of the library that it speaks HTTP by
        return fail("hub access", f"{needed.name}: {source.page} does not answer ({_one_line(error)})", "go online")
    return ok("hub access", f"{needed.name}: {source.page} gives it")


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
