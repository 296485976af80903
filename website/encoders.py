"""``python -m website.encoders``: write the table of encoders, as ``atlaspatch encoders --markdown`` prints it."""

from atlaspatch_core.cli.encoders import markdown_table
from atlaspatch_core.encoders.listing import listed
from website.generated import GeneratedPart

ENCODERS_TABLE = GeneratedPart(
    "docs/encoders.md", "<!-- encoders -->", "<!-- /encoders -->", lambda: markdown_table(listed()), gap="\n"
)

if __name__ == "__main__":
    ENCODERS_TABLE.write()
