"""What can go wrong, said in one sentence: the slide, the value, the bound and the cure."""

from typing import ClassVar

from atlaspatch_core.hidden_names import are_names_hidden, without_hidden_names, without_quotations


class AtlasPatchError(Exception):
    """Base of every error that a user can act on; its text is one sentence, without names that are hidden."""

    quotes_slides: ClassVar[bool] = False
    """Whether the words of a library in it may be a slide's own."""

    def __str__(self) -> str:
        text = super().__str__()
        if not are_names_hidden():
            return text
        return without_hidden_names(without_quotations(text, self) if self.quotes_slides else text)


class UnreadableSlide(AtlasPatchError):
    """The file is no slide that an installed reader can open, or its pixels cannot be decoded."""

    quotes_slides = True


class KilledReader(UnreadableSlide):
    """What reads a slide ended the process that it ran in: a library crashed, or took more memory than there is."""

    quotes_slides = False


class ReplacedSlide(AtlasPatchError):
    """The files of a slide changed while it was worked on: what was read may be of either."""


class UnknownScale(AtlasPatchError):
    """Neither the file nor the user says how many µm a pixel is wide."""

    quotes_slides = True


class ImplausibleScale(AtlasPatchError):
    """The stated µm per pixel lies outside what scanners make, or contradicts the stated magnification."""

    quotes_slides = True


class FinerThanScanned(AtlasPatchError):
    """The geometry asks for more detail than the slide was scanned with."""


class StemClash(AtlasPatchError):
    """Two slide files have one stem and would write one output."""


class NoSlides(AtlasPatchError):
    """Nothing to work on was found where the user pointed."""


class UnseenSlides(NoSlides):
    """Nothing was found, and a folder that may hold slides could not be looked into."""


class UnwritableOutput(AtlasPatchError):
    """The output folder cannot be made or written."""


class MachineFault(AtlasPatchError):
    """The machine lacks what a run needs, and no slide is to blame."""


class LostSlides(MachineFault):
    """A folder of slides went away: it is gone, cannot be looked into, or is empty though a slide was found in it."""


class UnreachableStore(MachineFault):
    """An object store does not answer, or not as it should, however often it is asked."""


class MissingDevice(MachineFault):
    """A GPU was asked for that this machine has not, or that its torch cannot use."""


class LostDevice(MissingDevice):
    """A device failed while it computed: the process that used it can use it no more."""


class UnusableOutput(UnwritableOutput, MachineFault):
    """Nothing can be written to the output folder: its disk is full, read-only or gone, and no slide is to blame."""


class AnotherUpload(AtlasPatchError):
    """Results of another folder arrived in the same place of an object store meanwhile."""


class WrongObject(AtlasPatchError):
    """An object in a store does not hold what its file, or the manifest, says."""


class UnreadableOutput(AtlasPatchError):
    """An existing output file (HDF5, GeoJSON, record) cannot be read."""


class DamagedOutput(UnreadableOutput):
    """A stored result is not what was written: its checksum differs, or it cannot be read any more."""

    path: str = ""
    """File that it lies in; empty where nothing can be done about it."""


class OutputInUse(UnreadableOutput):
    """Another program holds the lock of an output file, which may be whole."""


class UnknownLayout(AtlasPatchError):
    """A folder holds no results in a layout that is known here."""


class UnusableMask(AtlasPatchError):
    """The mask that somebody supplied for a slide cannot be used."""

    quotes_slides = True


class UnusableCoords(AtlasPatchError):
    """The coordinates that somebody supplied for a slide cannot be used."""

    quotes_slides = True


class MissingCoords(UnusableCoords):
    """Nobody supplied coordinates for a slide."""


class WorkerDied(AtlasPatchError):
    """A process that worked on slides ended by itself."""


class MissingUpstream(AtlasPatchError):
    """A step was asked for alone, and what it is computed from does not exist or is out of date."""


class OutOfDate(AtlasPatchError):
    """Another process replaced what a result was computed from before the result could be kept."""


class UnknownName(AtlasPatchError):
    """No reader, segmenter, encoder or cohort has this name."""


class MissingWeights(AtlasPatchError):
    """An encoder's weights are not where they were declared to be."""


class MissingExtra(AtlasPatchError):
    """A network needs a Python package that is not installed."""


class WrongWeights(AtlasPatchError):
    """A checkpoint does not fit its encoder: other layers, other shapes, another dim or another hash."""


class RemoteCodeNotAllowed(AtlasPatchError):
    """A network is Python code beside its weights, and nobody allowed to run it."""


class LicenseNotAllowed(AtlasPatchError):
    """The project does not allow the licence of an encoder or of a segmenter's weights."""


class GeometryMismatch(AtlasPatchError):
    """An encoder needs another patch size or magnification than the geometry gives."""


class InvalidProject(AtlasPatchError):
    """The project file, or an option, has a value that cannot be used."""


class InvalidShard(AtlasPatchError):
    """A part of the slides was asked for that there is not."""


class ForeignExit(InvalidProject):
    """Code of a plugin would end the program, which stops the run and no slide."""


class AskedToEnd(BaseException):
    """Somebody asked the process to end; nothing on the way may take it for an error."""


class InvalidManifest(AtlasPatchError):
    """The table of cases has a line that cannot be used."""


class InvalidLabels(AtlasPatchError):
    """A table of labels, or of splits, has a column or a row that cannot be used."""


class InvalidScores(AtlasPatchError):
    """A file of scores cannot be read, or what it holds is not of a slide's patches."""


class NotFresh(AtlasPatchError):
    """A result that is stale, unverified, failed or missing was asked for."""


class NoAttention(AtlasPatchError):
    """The attention of a slide encoder was asked for, and none is kept beside its embedding."""


class NotEnoughMemory(AtlasPatchError):
    """A step asked for more memory than the machine gives."""


class Unexpected(AtlasPatchError):
    """Something that nobody foresaw; the log has the traceback."""

    quotes_slides = True


class NotFinite(AtlasPatchError):
    """An encoder returned NaN or infinite numbers."""


class NoPatches(AtlasPatchError):
    """A slide without patches has no embedding."""
