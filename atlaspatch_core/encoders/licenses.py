"""Names of the licences under which weights are given: SPDX names where there is one, else the licence's own name."""

APACHE_2 = "Apache-2.0"
MIT = "MIT"
BSD_3 = "BSD-3-Clause"
AGPL_3 = "AGPL-3.0-only"
GPL_3 = "GPL-3.0-only"
CC_BY_NC_ND = "CC-BY-NC-ND-4.0"

DINOV3 = "DINOv3 License"
GEMMA = "Gemma Terms of Use"
GENBIO = "GenBio AI Community License"
HEALTH_AI = "Health AI Developer Foundations Terms of Use"
KAIKO = "kaiko-non-commercial"
LUNIT = "lunit-non-commercial"
OWKIN = "Owkin non-commercial license"

UNVERIFIED = "unverified"
"""Read the page of the weights; a list of allowed licences has to name this word to let them pass."""
