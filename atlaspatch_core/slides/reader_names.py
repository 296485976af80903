"""The table of readers, in the order in which they are asked.

The module of each in ``readers`` has its name, and declares it in capitals. Reading the table imports none of them, so
that help texts can name them.
"""

READER_NAMES = ("openslide", "tiff", "dicom", "omezarr", "czi", "sdpc", "image", "cucim")
