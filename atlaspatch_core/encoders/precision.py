"""How encoders compute: number formats, and whether their networks may be made quicker."""

from typing import Literal

Precision = Literal["float32", "float16", "bfloat16"]

Compile = Literal["auto", "off"]
"""Whether a network may run quicker than its makers' code."""
