"""Python, libraries and extras against what is declared."""

import platform
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok

PACKAGE = "atlaspatch"
FOR_DEVELOPERS = ("dev",)


def python(_: Subject) -> Iterator[DoctorFinding]:
    """Hold Python against what the package declares."""
    found, needed = platform.python_version(), metadata.metadata(PACKAGE)["Requires-Python"] or ""
    text = f"{found} on {platform.system()} {platform.machine()}, {PACKAGE} {metadata.version(PACKAGE)}"
    if SpecifierSet(needed).contains(found, prereleases=True):
        yield ok("python", text)
    else:
        yield fail("python", f"{text}; needed is {needed}", "make a virtual environment with a newer Python")


def libraries(_: Subject) -> Iterator[DoctorFinding]:
    """Hold the versions of libraries against the declared ranges."""
    needed = [it for it in requirements() if it.marker is None or it.marker.evaluate({"extra": ""})]
    wrong = [text for requirement in needed if (text := complaint(requirement))]
    if wrong:
        yield fail("libraries", "; ".join(wrong), f"run: pip install --upgrade {PACKAGE}")
    else:
        yield ok("libraries", f"{len(needed)} libraries are within their declared ranges")


def extras(_: Subject) -> Iterator[DoctorFinding]:
    """Say which extras are installed; none is needed by itself."""
    names = [it for it in metadata.metadata(PACKAGE).get_all("Provides-Extra") or () if it not in FOR_DEVELOPERS]
    missing = {name: [it for it in of_extra(name) if complaint(it)] for name in names}
    there = [name for name in names if not missing[name]]
    lacking = "".join(f"; not {name} (pip install '{PACKAGE}[{name}]')" for name in names if missing[name])
    yield ok("extras", f"installed: {', '.join(there) or 'none'}{lacking}")


def openslide(_: Subject) -> Iterator[DoctorFinding]:
    """Load OpenSlide, and libvips where it is installed."""
    try:
        import openslide
    except (ImportError, OSError) as error:
        yield fail("openslide", f"it cannot be loaded ({error})", "run: pip install --upgrade openslide-bin")
    else:
        versions = f"{openslide.__library_version__}, openslide-python {openslide.__version__}"
        yield ok("openslide", f"library {versions}")


def requirements() -> list[Requirement]:
    """Return what the package declares, extras included."""
    return [Requirement(text) for text in metadata.requires(PACKAGE) or ()]


def of_extra(name: str) -> Iterable[Requirement]:
    """Return what an extra adds."""
    return [it for it in requirements() if it.marker and it.marker.evaluate({"extra": name})]


def complaint(requirement: Requirement) -> str:
    """Return what is wrong with an installed library, or an empty text."""
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{requirement.name} is {found}, needed is {requirement.specifier}"
