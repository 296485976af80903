"""All that is used of Dagster beyond its public interface, each with the reason; no other package may touch its inside.

``tests/assets/test_dagster_internals.py`` holds each of these against the installed Dagster: what changes there, or is
mended, fails there first.
"""

from atlaspatch_assets.dagster_internals.events import VERSION_TAG as VERSION_TAG
from atlaspatch_assets.dagster_internals.events import data_versions as data_versions
from atlaspatch_assets.dagster_internals.events import data_versions_by_pages as data_versions_by_pages
from atlaspatch_assets.dagster_internals.events import failed_verdicts as failed_verdicts
from atlaspatch_assets.dagster_internals.events import last_verdict as last_verdict
from atlaspatch_assets.dagster_internals.events import last_verdicts as last_verdicts
from atlaspatch_assets.dagster_internals.events import latest_materializations as latest_materializations
from atlaspatch_assets.dagster_internals.recording import REFUSALS_JOB as REFUSALS_JOB
from atlaspatch_assets.dagster_internals.recording import VERDICTS_JOB as VERDICTS_JOB
from atlaspatch_assets.dagster_internals.recording import VerdictRecorder as VerdictRecorder
from atlaspatch_assets.dagster_internals.recording import announce_materializations as announce_materializations
from atlaspatch_assets.dagster_internals.recording import record_refusals as record_refusals
from atlaspatch_assets.dagster_internals.runs import AssetJob as AssetJob
from atlaspatch_assets.dagster_internals.runs import CancellingLauncher as CancellingLauncher
from atlaspatch_assets.dagster_internals.runs import code_server_answers as code_server_answers
from atlaspatch_assets.dagster_internals.runs import free_pool_slots as free_pool_slots
from atlaspatch_assets.dagster_internals.runs import give_default_limits as give_default_limits
from atlaspatch_assets.dagster_internals.runs import interrupts_wait_while_importing as interrupts_wait_while_importing
from atlaspatch_assets.dagster_internals.runs import op_tag_as_requested as op_tag_as_requested
from atlaspatch_assets.dagster_internals.runs import pools_of_run as pools_of_run
from atlaspatch_assets.dagster_internals.runs import shield_log_processes as shield_log_processes
from atlaspatch_assets.dagster_internals.runs import storage_kind as storage_kind
