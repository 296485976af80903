"""The one writer of everything that is kept: HDF5 files, records, locks and atomic replacement."""
