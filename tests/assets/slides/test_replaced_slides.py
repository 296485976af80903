"""In Dagster a slide that is replaced while it is worked on fails, and a retry of the run does the new one."""

from pathlib import Path

import dagster as dg
import pytest
from painting import paint_slide, stain, white
from replacing_plugin import write_plugin
from small_projects import failed_slides, project, run

from atlaspatch_core.slides.content_hash import content_fingerprint
from atlaspatch_core.storage.store import Store


@pytest.mark.parametrize("retries", [0, 1])
def test_a_replaced_slide_is_done_anew_by_a_retry(tmp_path: Path, retries: int):
    (tmp_path / "slides").mkdir()
    paths = tmp_path / "slides" / "a.svs", tmp_path / "new.svs"
    for number, path in enumerate(paths):
        paint_slide(path, stain(white(1024, 1024), 0, 256 * number, 1024, 512))
    order = {"stem": "a", "place": "read", "count": 0, "way": "copy over it of the same times", "new": str(paths[1])}
    of = project(tmp_path, plugins=[write_plugin(tmp_path, order)])
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(of, instance, ["a"], retries=retries)
    assert (tmp_path / "done").exists()
    record = Store(of.output).read_record("a").slide
    if retries:
        assert result.success
        assert record
        assert record.content == content_fingerprint(paths[1])
    else:
        assert "a.svs was replaced" in failed_slides(result)["a"]
        assert record is None or record.signature == ""
