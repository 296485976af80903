"""A changed encoder tried on stored patches, before anything is computed anew."""
