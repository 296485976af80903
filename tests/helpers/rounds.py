"""How often tests of chance try: once in ``make test``, and more in ``make soak``."""

import os

ROUNDS = int(os.environ.get("ATLASPATCH_SOAK_ROUNDS", "1"))
