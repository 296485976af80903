"""A reader and a segmenter of plugin files in Dagster: their slide is found, and materialised as any other."""

from hashlib import sha256
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from extensions import write_extension
from painting import stain, white
from small_projects import project

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.isolation.leases import execute_first
from atlaspatch_core.storage.store import Store


@pytest.mark.e2e
def test_a_slide_of_a_plugin_is_materialised_with_the_segmenter_of_another(tmp_path: Path):
    (tmp_path / "slides").mkdir()
    np.savez_compressed(tmp_path / "slides" / "a.npz", pixels=stain(white(1024, 1024), 256, 256, 512, 512), mpp=0.5)
    plugins = [write_extension(tmp_path, name) for name in ("arrays.py", "colourful.py")]
    of = project(tmp_path, plugins=plugins, tissue={"segmenter": "colourful"})
    names, definitions = ProjectNames.of(of).slides, build_definitions(of)
    execute_first([])  # what another project of this process has says nothing of this one
    [assets] = (one for one in definitions.assets or () if isinstance(one, dg.AssetsDefinition) and len(one.keys) > 1)
    with dg.DagsterInstance.ephemeral() as instance:
        names.register(instance, ["a"])
        result = dg.materialize([assets], instance=instance, partition_key="a", run_config=names.config(["a"]))
        events = {str(event.asset_key.to_python_identifier()) for event in result.get_asset_materialization_events()}
    assert result.success
    assert events == {"slide", "tissue_mask", "patch_coords"}
    record = Store(of.output).read_record("a")
    assert record.slide
    assert record.tissue_mask
    specs = record.slide.identity.spec, record.tissue_mask.identity.spec
    assert (specs[0]["reader"], specs[1]["segmenter"]) == ("array", "colourful")
    assert [spec["plugin"] for spec in specs] == [sha256(path.read_bytes()).hexdigest() for path in plugins]
