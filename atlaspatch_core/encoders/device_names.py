"""What devices are called; torch is not imported for it."""

import re

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
DEVICES = "auto, cpu, cuda, cuda:0 (or another number) or mps"
