"""How numbers are worded in lines for people."""


def format_count(count: float, noun: str, form: str = "") -> str:
    """Return a count with its noun, in the plural but for one; ``form`` is how the number is written, such as ``,``."""
    return f"{count:{form}} {noun}{'' if count == 1 else 's'}"
