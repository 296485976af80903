"""Networks of slide encoders that are built here, in torch."""
