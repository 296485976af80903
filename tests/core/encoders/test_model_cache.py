"""Networks stay loaded from run to run, once each, and idle ones go when memory is asked for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.encoders.model_cache import MODELS, ModelCache, ModelKey
from atlaspatch_core.isolation.memory import free_memory
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import make_recipe

CPU = torch.device("cpu")
PLUGIN = """
import os, pathlib, torch
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn

LOADS = pathlib.Path(__file__).with_name("loads.txt")

class Module(torch.nn.Module):
    def forward(self, pixels):
        full = pathlib.Path(__file__).with_name("full")
        if full.exists() and full.unlink() is None:
            raise torch.OutOfMemoryError("no memory")
        return pixels.mean(dim=(2, 3))

class Architecture:
    def __init__(self, name): self.name = name
    def spec(self): return {"made": self.name}
    def build(self, _):
        with LOADS.open("a") as file: print(self.name, file=file)
        return Module()

def declare(name):
    return PatchEncoder(
        name=name, architecture=Architecture(name), source=BuiltIn(), dim=3, license="Apache-2.0",
        transform=Transform(None, None, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )

PATCH_ENCODERS = [declare(f"tiny{number}") for number in range(3)]
"""


class Net(torch.nn.Module):
    pass


def key(number: int) -> ModelKey:
    return ModelKey(f"spec {number}", "cpu")


@given(
    asked=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30),
    most=st.integers(1, 4),
)
@examples(40)
def test_a_network_is_loaded_once_while_it_is_held_or_among_the_last_used(asked, most):
    cache, held, loads, last = ModelCache(most, lambda _: 1.0), {}, [], []
    for number, is_held in asked:
        known = number in held or number in last[-most:]
        before = len(loads)
        model = cache.get(key(number), CPU, lambda: loads.append(number) or Net())  # noqa: B023
        assert (len(loads) > before) == (not known)
        last = [*(other for other in last if other != number), number]
        if is_held:
            assert held.setdefault(number, model) is model
        del model


@given(held=st.sets(st.integers(0, 5)))
@examples(10)
def test_what_a_run_holds_stays_and_what_is_idle_goes(held):
    cache = ModelCache(6, lambda _: 1.0)
    models = {number: cache.get(key(number), CPU, Net) for number in range(6)}
    models = {number: model for number, model in models.items() if number in held}
    assert cache.release_idle() == 6 - len(held)
    for number, model in models.items():
        assert cache.get(key(number), CPU, Net) is model


@pytest.mark.parametrize(("share", "left"), [(0.9, 2), (0.1, 1)])
def test_idle_networks_go_before_another_is_loaded_where_memory_is_short(share, left):
    cache = ModelCache(6, lambda _: share)
    cache.get(key(0), CPU, Net)
    kept = cache.get(key(1), CPU, Net)
    del kept
    assert cache.release_idle() == left


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_a_network_without_room_is_tried_again_once_idle_ones_are_gone(error):
    cache, tries = ModelCache(6, lambda _: 1.0), []

    def load() -> Net:
        tries.append(cache)
        if len(tries) == 1:
            raise error("no room")
        return Net()

    cache.get(key(0), CPU, Net)
    assert isinstance(cache.get(key(1), CPU, load), Net)
    with pytest.raises(error):
        ModelCache().get(key(1), CPU, lambda: (_ for _ in ()).throw(error("no room")))


@pytest.mark.quick
def test_runs_load_each_encoder_once_and_short_memory_lets_idle_ones_go(tmp_path):
    MODELS.release_idle()
    (tmp_path / "plugin.py").write_text(PLUGIN)
    source = SlideSource("a", paint_slide(tmp_path / "a.svs", stain(white(512, 512), 0, 0, 400, 400, (200, 80, 120))))

    def run(output: str, *encoders: str) -> None:
        values = {
            "output": tmp_path / output,
            "plugins": (tmp_path / "plugin.py",),
            "geometry": ({"patch_encoders": encoders, "patch_size": 128, "target_mag": 20},),
            "runtime": {"device": "cpu", "threads": 1},
        }
        outcomes = list(process([source], make_recipe(make_project(values, origin=""))))
        assert {outcome.status for outcome in outcomes} == {Status.COMPUTED}

    def loads() -> list[str]:
        return (tmp_path / "loads.txt").read_text().split()

    run("one", "tiny0", "tiny1")
    run("two", "tiny1", "tiny0")
    assert sorted(loads()) == ["tiny0", "tiny1"]
    run("three", "tiny2")
    (tmp_path / "full").touch()
    run("four", "tiny2")
    assert not (tmp_path / "full").exists()
    run("five", "tiny2", "tiny0")
    assert sorted(loads()) == ["tiny0", "tiny0", "tiny1", "tiny2"]


@pytest.mark.parametrize(
    ("limit", "current", "inactive", "expected"),
    [("max", 0, 0, (4096, 8192)), ("6144", 5120, 1024, (2048, 6144)), ("1048576", 0, 0, (4096, 8192))],
)
def test_memory_is_what_machine_and_control_group_leave(tmp_path, limit, current, inactive, expected):
    group = tmp_path / "sys" / "fs" / "cgroup" / "job_1"
    group.mkdir(parents=True)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:  8 kB\nMemFree: 1 kB\nMemAvailable:  4 kB\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/job_1\n")
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{current}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")
    assert free_memory(tmp_path) == expected


def test_a_system_that_does_not_tell_its_memory_limits_nothing(tmp_path):
    assert free_memory(tmp_path) is None
