"""Python, libraries and extras against what is declared."""

import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok

PACKAGE = "atlaspatch"
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
    names = [name for name in metadata.metadata(PACKAGE).get_all("Provides-Extra") or () if name not in FOR_DEVELOPERS]
    missing = {name: list(filter(complaint, required(name))) for name in names}
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


def required(extra: str = "") -> list[Requirement]:
    """Return what the package needs, or what an extra adds."""
    requirements = map(Requirement, metadata.requires(PACKAGE) or ())
    return [one for one in requirements if (one.marker.evaluate({"extra": extra}) if one.marker else not extra)]


def complaint(requirement: Requirement) -> str:
    """Return what is wrong with an installed library, or an empty text."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} is {version}, needed is {requirement.specifier}"
