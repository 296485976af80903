"""What is installed is under licenses that somebody allowed, or stands by name with a reason."""

import pytest

from supply.exceptions import Exceptions, read_exceptions
from supply.licenses import installed_licenses, is_allowed, refused

ALLOWED = frozenset({"MIT", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception", "MIT License"})


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND BSD-3-Clause", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND (GPL-3.0-only OR BSD-3-Clause)", True),
        ("(GPL-3.0-only AND MIT) OR (BSD-3-Clause AND MPL-2.0)", False),
        ("MIT AND Apache-2.0 WITH LLVM-exception", True),
        ("MIT License; GNU General Public License (GPL)", False),
        ("MIT License\nCopyright of somebody", True),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_of_terms_with_and_all_are_allowed_and_of_those_with_or_one(text: str, allowed: bool):
    assert is_allowed(text, ALLOWED) == allowed


def test_what_is_excepted_is_named_with_its_reason():
    exceptions = Exceptions(ALLOWED, {"nvidia-*": "of torch"}, {})
    licenses = {"nvidia-cublas": "secret", "a": "MIT", "b": "GPL-3.0-only\nwhole text"}
    assert refused(licenses, exceptions) == {"b": "GPL-3.0-only"}


def test_everything_that_is_installed_may_be_there():
    licenses = installed_licenses()
    assert {"numpy", "torch", "dagster"} <= licenses.keys()
    assert refused(licenses, read_exceptions()) == {}
