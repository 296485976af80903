"""Results of others taken over and looked through; results written for others."""
