"""What every result says of its making; it decides nothing."""

from datetime import UTC, datetime

from atlaspatch_core import __version__
from atlaspatch_core.storage.schema import ATLASPATCH_VERSION, CREATED_AT


def provenance() -> dict[str, str]:
    """Return the version that made a result, and when (UTC, ISO 8601)."""
    return {ATLASPATCH_VERSION: __version__, CREATED_AT: datetime.now(UTC).isoformat()}
