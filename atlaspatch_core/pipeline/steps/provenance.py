"""What every result says of its making; it decides nothing."""

from datetime import UTC, datetime

from atlaspatch_core import __version__


def provenance() -> dict[str, str]:
    """Return the version that made a result, and when (UTC, ISO 8601)."""
    return {"atlaspatch_version": __version__, "created_at": datetime.now(UTC).isoformat()}
