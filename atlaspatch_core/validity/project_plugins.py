"""What a project has of plugins: executed by commands that compute, and as results record it for those that read."""

from collections.abc import Sequence

from atlaspatch_core.config.project import Project
from atlaspatch_core.consent import executes_plugins
from atlaspatch_core.encoders.declaration import NO_PLUGINS, Plugins
from atlaspatch_core.encoders.plugins import all_plugins, installed_plugins, join_plugins
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.plugins import loading
from atlaspatch_core.plugins.in_use import use_plugins
from atlaspatch_core.slides.readers import all_readers
from atlaspatch_core.tissue.segmenters import Segmenter, find_segmenter, plugin_segmenters
from atlaspatch_core.validity.recorded_plugins import plugin_digests, recorded_plugins
from atlaspatch_core.validity.recorded_segmenters import segmenter_of_records


def plugins_of(project: Project, own: Plugins = NO_PLUGINS) -> Plugins:
    """Return the encoders of plugins, and those that a caller brings; for a command that only reads, as results record
    them. Raises InvalidProject for a plugin that cannot be used, and where a name of a caller's is taken.
    """
    runtime = project.runtime
    precision = project.geometry[0].precision_of("float32") if project.geometry else "float32"
    device = runtime.feature_device or runtime.device
    if not executes_plugins():
        installed = installed_plugins(device=device, precision=precision, num_workers=runtime.read_workers)
        return join_plugins(recorded_plugins(project, installed), own, "the code")
    plugins = all_plugins(project.plugins, device=device, precision=precision, num_workers=runtime.read_workers)
    return join_plugins(plugins, own, "the code")


def segmenter_of(project: Project) -> Segmenter:
    """Return the segmenter of a project; for a command that only reads, one of a plugin as results record it.

    Raises UnknownName, and InvalidProject for a plugin that cannot be used.
    """
    if executes_plugins():
        return find_segmenter(project.tissue.segmenter, plugin_segmenters(project.plugins))
    return segmenter_of_records(project) or find_segmenter(project.tissue.segmenter, plugin_segmenters())


def check_reader(project: Project) -> None:
    """Have the project's plugins count in this process, and raise UnknownName where no reader has the name it gives.

    A command that only reads takes the name as it is. Raises InvalidProject for a plugin that cannot be used.
    """
    use_plugins(project.plugins)
    readers, name = all_readers(), project.slides.reader
    if name is not None and name not in readers and executes_plugins():
        raise UnknownName(f"no reader is called {name!r}; there are {', '.join(readers)}")


def digests_of(project: Project) -> tuple[str, ...]:
    """Return the sha256 of the plugins of installed packages and of the project, as they are now; none is executed."""
    installed = (plugin.digest for plugin in loading.installed_plugins())
    return (*installed, *plugin_digests(project.plugins))


def current_plugin(recorded: str | None, digests: Sequence[str]) -> str | None:
    """Return the sha256 that the plugin of a stored output has now, as far as can be told; None where it has none."""
    if recorded is None or recorded in digests or not digests:
        return recorded
    return digests[-1]
