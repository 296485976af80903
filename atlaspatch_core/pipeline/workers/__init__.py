"""Several processes that share the slides of one call, one a device."""
