"""Cases of one or more slides: partitions, assets, checks, requests and their sensor."""
