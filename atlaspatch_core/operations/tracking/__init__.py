"""What was run in an output folder, and what became of each slide: ``runs/``, ``wsi_states/`` and ``summary.md``.

Nothing is decided by these files: whether a result is valid is read from the result itself. They are there to be read
by people and scripts, in the layout that TRIDENT's readers know. What cannot be written is warned of, once.
"""
