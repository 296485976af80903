"""The weekly look at the values in the files: its job and its checks."""
