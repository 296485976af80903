"""The project file of a small project."""


def project_text(*, name: str = "", slides: str = "", geometry: str = "", runtime: str = "", tables: str = "") -> str:
    """Return a project of the folder ``slides`` beside the file, with patches of 256 px at 20x, on the CPU.

    ``slides``, ``geometry`` and ``runtime`` are further lines of these tables, and ``tables`` are further tables.
    """
    parts = [
        f'name = "{name}"' if name else "",
        'output = "output"',
        '[slides]\nfolders = ["slides"]',
        slides,
        "[[geometry]]\npatch_size = 256\ntarget_mag = 20",
        geometry,
        tables,
        '[runtime]\ndevice = "cpu"',
        runtime,
    ]
    return "".join(f"{part.strip()}\n" for part in parts if part)
