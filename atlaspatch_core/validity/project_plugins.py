"""What a project has of plugins: executed by commands that compute, and as results record it for those that read."""

from atlaspatch_core.config.project import Project
from atlaspatch_core.consent import executes_plugins
from atlaspatch_core.encoders.declaration import NO_PLUGINS, Plugins
from atlaspatch_core.encoders.plugins import all_plugins, installed_plugins, join_plugins
from atlaspatch_core.tissue.segmenters import Segmenter, find_segmenter, plugin_segmenters
from atlaspatch_core.validity.recorded_plugins import recorded_plugins
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
