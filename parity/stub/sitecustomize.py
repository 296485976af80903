"""Errors of tools that are run as black boxes are told without lines of their source."""

import sys

sys.tracebacklimit = 0
