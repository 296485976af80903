"""How many patches a run will still encode, as far as it can be told."""

from dataclasses import dataclass


@dataclass(slots=True)
class Forecast:
    """Slides of a run that were begun, and patches of those whose features have to be computed."""

    slides: int = 1
    """In all; 1 where nobody knows: then no slides are reckoned with but those that were begun."""
    begun: int = 0
    patches: int = 0

    def begin_slide(self) -> None:
        """Count a slide, whether or not something of it is to be computed."""
        self.begun += 1

    def plan(self, patches: int) -> int:
        """Return how many patches are to come, beginning with a slide of so many; others have as many as those before.

        Slides whose features were reused count as slides without patches.
        """
        self.patches += patches
        to_begin = max(0, self.slides - self.begun)
        return patches + round(to_begin * self.patches / max(self.begun, 1))
