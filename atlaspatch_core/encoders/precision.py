"""Number formats in which encoders compute."""

from typing import Literal

Precision = Literal["float32", "float16", "bfloat16"]
