"""Python, libraries and extras against what is declared."""

import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.specifiers import SpecifierSet

from atlaspatch_core.encoders.extras import CURES, cure, installed
from atlaspatch_core.encoders.requirements import PACKAGE, complaint, required
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok

FOR_DEVELOPERS = ("dev",)


def python(_: Subject) -> Iterator[DoctorFinding]:
    """Hold Python against what the package declares."""
    version, needed = platform.python_version(), metadata.metadata(PACKAGE)["Requires-Python"] or ""
    text = f"{version} on {platform.system()} {platform.machine()}, {PACKAGE} {metadata.version(PACKAGE)}"
    if SpecifierSet(needed).contains(version, prereleases=True):
        yield ok("python", text)
    else:
        yield fail("python", f"{text}; needed is {needed}", "make a virtual environment with a newer Python")


def libraries(_: Subject) -> Iterator[DoctorFinding]:
    """Hold the versions of libraries against the declared ranges."""
    needed = required()
    wrong = [text for requirement in needed if (text := complaint(requirement))]
    if wrong:
        yield fail("libraries", "; ".join(wrong), f"run: pip install --upgrade {PACKAGE}")
    else:
        yield ok("libraries", f"{len(needed)} libraries are within their declared ranges")


def extras(_: Subject) -> Iterator[DoctorFinding]:
    """Say which extras are installed; none is needed by itself."""
    declared = metadata.metadata(PACKAGE).get_all("Provides-Extra") or ()
    names = [name for name in (*declared, *CURES) if name not in FOR_DEVELOPERS]
    there = [name for name in names if installed(name)]
    absent = "".join(f"; not {name} ({cure(name)})" for name in names if name not in there)
    yield ok("extras", f"installed: {', '.join(there) or 'none'}{absent}")


def openslide(_: Subject) -> Iterator[DoctorFinding]:
    """Load OpenSlide, and libvips where it is installed."""
    try:
        import openslide
    except (ImportError, OSError) as error:
        yield fail("openslide", f"it cannot be loaded ({error})", "run: pip install --upgrade openslide-bin")
    else:
        versions = f"{openslide.__library_version__}, openslide-python {openslide.__version__}"
        yield ok("openslide", f"library {versions}")
