"""What ``python -m benchmarks.gpu`` promises: it runs without a GPU and says so, and its figures mean what they say."""

import json
import os
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from absent_packages import run_without
from click.testing import CliRunner
from exact_encoders import Digest, exact_encoder

from benchmarks.gpu.__main__ import main, print_all
from benchmarks.gpu.activity import activity_of, covered, union
from benchmarks.gpu.copies import lines_of
from benchmarks.gpu.decoding import by_cores, by_torchvision, differences
from benchmarks.gpu.encoding import Compared
from benchmarks.gpu.feeding import thread_numbers
from benchmarks.gpu.jpeg_layouts import LAYOUTS, store, tissue
from benchmarks.gpu.lines import Unmeasured, guarded
from benchmarks.gpu.networks import NETWORKS, SMALL_NETWORKS, Network
from benchmarks.gpu.pairs import two_over_one
from benchmarks.gpu.setting import Setting, coords_of, make_slides, place_patches
from benchmarks.gpu.streams import own_streams_line, pixels_of, preprocessing_lines, stream_lines
from benchmarks.gpu.utilisation import Utilisation, course, middle_of, smi_reader
from benchmarks.measuring import Measure

QUICK = pytest.mark.quick


def kernel(begin: float, end: float) -> dict:
    return {"ph": "X", "cat": "kernel", "name": "gemm", "ts": begin, "dur": end - begin, "args": {}}


def copy(begin: float, end: float, name: str, size: int) -> dict:
    return {
        "ph": "X", "cat": "gpu_memcpy", "name": f"Memcpy {name}", "ts": begin, "dur": end - begin,
        "args": {"bytes": size},
    }  # fmt: skip


TRACE = [
    {"ph": "M", "name": "process_name"},
    {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "ts": 0, "dur": 5, "args": {}},
    kernel(100, 200),
    kernel(150, 220),
    kernel(260, 300),
    copy(210, 230, "HtoD (Pinned -> Device)", 600),
    copy(0, 20, "HtoD (Pageable -> Device)", 400),
    copy(270, 280, "DtoH (Device -> Pinned)", 80),
]


@QUICK
def test_a_trace_tells_how_much_of_the_copies_kernels_hide():
    activity = activity_of(TRACE)
    assert activity.busy == pytest.approx((120 + 40) / 200)
    assert activity.hidden(activity.uploads) == pytest.approx(10 / 40)
    assert activity.hidden(activity.downloads) == 1.0
    assert (activity.uploads.bytes, activity.uploads.pinned_bytes, activity.downloads.bytes) == (1000, 600, 80)


@QUICK
def test_a_trace_is_printed_with_the_bytes_that_travelled():
    lines = {line.name: line for line in lines_of("net", activity_of(TRACE), 500)}
    assert all(isinstance(line, Measure) for line in lines.values())
    values = {name: round(line.value, 3) for name, line in lines.items() if isinstance(line, Measure)}
    assert values == {
        "uploads_hidden_net": 0.25, "downloads_hidden_net": 1.0, "bytes_up_over_pixels_net": 2.0,
        "kernels_running_net": 0.8,
    }  # fmt: skip


@QUICK
def test_a_trace_without_a_device_has_no_activity():
    activity = activity_of(TRACE[:2])
    assert (activity.busy, activity.hidden(activity.uploads), activity.uploads.bytes) == (0.0, 1.0, 0)


@QUICK
def test_spans_are_united_and_intersected_as_sets_of_time():
    generator = np.random.default_rng(0)
    for _ in range(20):
        some, others = (np.sort(generator.integers(0, 60, (7, 2)).astype(float), axis=1) for _ in range(2))
        marks = [{t for begin, end in spans for t in range(int(begin), int(end))} for spans in (some, others)]
        assert covered(some, others) == len(marks[0] & marks[1])
        united = union(some)
        assert float(np.diff(united, axis=1).sum()) == len(marks[0])
        assert (united[1:, 0] > united[:-1, 1]).all()


@QUICK
def test_utilisation_counts_from_the_first_busy_sample_to_the_last():
    samples = [(0.1 * number, percent) for number, percent in enumerate((0.0, 0.0, 90.0, 0.0, 100.0, 0.0))]
    assert middle_of(samples) == [90.0, 0.0, 100.0]
    assert middle_of(samples[:2]) == []
    printed = course([(float(number), float(number % 2)) for number in range(120)])
    assert printed[:2] == [[0.0, 0.5], [2.0, 0.5]]
    assert len(printed) == 60
    assert course([]) == []


@QUICK
def test_utilisation_is_sampled_while_something_runs_and_says_why_it_is_not():
    percents, two = iter((10.0, 30.0)), Event()

    def read() -> float:
        percent = next(percents, None)
        if percent is None:
            two.set()
            raise OSError("not supported")
        return percent

    with Utilisation(read) as utilisation:
        assert two.wait(30)
    assert [percent for _, percent in utilisation.samples] == [10.0, 30.0]
    assert utilisation.why == "the driver does not tell it: OSError: not supported"
    with Utilisation() as nobody_asked:
        pass
    assert nobody_asked.samples == []


@QUICK
def test_nvidia_smi_is_asked_for_the_gpu_of_a_name(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\ntest "$1" = --id=GPU-7 && echo 57 || echo "[N/A]"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert smi_reader("GPU-7")() == 57.0
    with pytest.raises(ValueError, match="N/A"):
        smi_reader("GPU-8")()


@QUICK
def test_the_status_tells_a_failure_from_what_a_machine_lacks(capsys):
    lacking, failing = Unmeasured("two_devices", "one GPU"), Unmeasured("pipeline", "no memory", failed=True)
    assert print_all(iter([Measure("ratio", 0.9, ">= 0.85"), lacking])) == 0
    assert print_all(iter([lacking, failing])) == 1
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [next(iter(line)) for line in printed] == ["measure", "not_measured", "not_measured", "failed"]


@QUICK
def test_a_network_that_is_not_there_is_refused_with_those_that_are():
    refused = CliRunner().invoke(main, ["--device", "cpu", "--network", "resnet50"])
    assert refused.exit_code == 2
    assert "no network is called 'resnet50'; there are resnet18, vit_two_layers" in refused.output


@QUICK
def test_what_begins_a_run_does_not_count_beyond_the_first_slide():
    start, each, alone = 5.0, 2.0, 1.8
    times = [[start + 4 * each], [start + each], [4 * alone]]
    compared = Compared("net_float16", "net", 400, 4, *times, memory=1.0, utilisation=Utilisation())
    assert compared.beyond_first == pytest.approx(alone / each)
    assert replace(compared, first=[start + 4 * each]).beyond_first is None
    assert compared.bare_rate == pytest.approx(100 / alone)


@QUICK
def test_a_measure_that_fails_is_said_and_leaves_those_before_it():
    def measures():
        yield Measure("first", 1.0, "")
        raise RuntimeError("no memory")

    assert [line.name for line in guarded("part", measures)] == ["first", "part"]
    assert json.loads([*guarded("part", measures)][1].line()) == {"failed": "part", "why": "RuntimeError: no memory"}


@QUICK
def test_numbers_of_reading_threads_end_with_all_cores():
    assert [thread_numbers(cores) for cores in (1, 2, 6, 16)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8, 16]]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_stored_tiles_decode_to_their_pixels_in_both_decoders(layout, tmp_path):
    device, stored = torch.device("cpu"), store(layout, tmp_path / "tiles.tiff")
    ours, theirs = by_cores(stored, 2, device), by_torchvision(stored.files, device)
    assert ours.shape == (2 * len(theirs), layout.side, layout.side, 3)
    assert torch.equal(ours[: len(theirs)], ours[len(theirs) :])
    assert np.abs(ours[: len(theirs)].numpy().astype(int) - tissue(layout.side)).mean() < 10
    assert differences(theirs, ours[: len(theirs)])["largest_difference"] <= 3


@pytest.mark.parametrize("network", [*SMALL_NETWORKS, NETWORKS[0], NETWORKS[1]], ids=lambda network: network.name)
def test_networks_are_seeded_and_of_one_size_in_timm_and_torchvision(network: Network):
    one, again, other = network.build(), network.build(), network.by_torchvision()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    sizes = [sum(values.numel() for values in built.parameters()) for built in (one, other)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


@pytest.mark.e2e
def test_the_command_runs_with_core_and_torch_alone_and_says_that_no_gpu_was_there(tmp_path):
    absent = ("dagster", "openslide", "timm")
    finished = run_without(absent, tmp_path, "-m", "benchmarks.gpu", "--device", "cpu", "--small")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    first, *lines = map(json.loads, finished.stdout.splitlines())
    assert first["machine"]["gpu"] is None
    assert "no GPU was used" in first["machine"]["note"]
    assert "timm" in first["machine"]["versions"]  # installed, and not imported
    measured = {line["measure"]: line for line in lines if "measure" in line}
    ratio = measured["pipeline_over_bare_vit_two_layers_float32"]
    assert 0 < ratio["ratio"] < 2
    assert ratio["detail"]["patches"] == 40
    assert measured["compile_auto_over_off_vit_two_layers_float32"]["ratio"] > 0
    assert measured["batch_auto_over_best_fixed_resnet18_float32"]["ratio"] > 0
    assert measured["slides_per_hour_resnet18_float32"]["slides_per_hour"] > 0
    assert measured["reading_over_bare_resnet18_float32"]["detail"]["threads_needed"] in (1, 2, 4, None)
    assert {line["not_measured"] for line in lines if "not_measured" in line} >= {
        "copies_resnet18_float32", "two_devices_over_one_resnet18_float32", "decoding_nvimagecodec",
        "own_streams_over_one", "preprocessing_fused_over_plain",
    }  # fmt: skip
    assert not [line for line in lines if "failed" in line]


def test_encoders_of_one_patch_are_compared_on_one_stream_and_on_their_own(tmp_path: Path):
    setting = Setting(
        device="cpu", folder=tmp_path, slides=(), size=(0, 0), networks=SMALL_NETWORKS, precisions=("float32",),
        batch_size=2, patch_size=32, readers=1, rounds=1,
    )  # fmt: skip
    encoders = [exact_encoder(Digest, seed) for seed in (0, 1)]
    line = own_streams_line(setting, encoders, pixels_of(setting, 2))
    assert (line.name, line.value > 0, line.detail["networks"]) == (
        "own_streams_over_one_2", True, ["digest_0", "digest_1"],
    )  # fmt: skip
    assert all(
        isinstance(line, Unmeasured) for line in (*stream_lines(setting, "float32"), *preprocessing_lines(setting))
    )


@pytest.mark.e2e
def test_two_workers_are_compared_with_one_on_features_alone(tmp_path: Path):
    slides = make_slides(tmp_path, 2, (1024, 768))
    setting = Setting(
        device="cpu", folder=tmp_path, slides=slides, size=(1024, 768), networks=SMALL_NETWORKS[1:],
        precisions=("float32",), batch_size=8, patch_size=256, readers=1, rounds=1,
    )  # fmt: skip
    assert place_patches(setting) == sum(len(coords_of(setting, slide)) for slide in slides) > 0
    line = two_over_one("two", setting, SMALL_NETWORKS[1], "float32", (-1, -1))
    assert line == Unmeasured("two", line.why) if isinstance(line, Unmeasured) else line.detail["slides"] == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.gpu
@pytest.mark.e2e
def test_on_a_gpu_copies_utilisation_and_decoding_are_measured(tmp_path):
    words = ("--device", "cuda", "--small", "--only", "pipeline", "--only", "copies", "--only", "decoding")
    words += ("--only", "streams", "--only", "preprocessing")
    finished = run_without(("dagster", "openslide"), tmp_path, "-m", "benchmarks.gpu", *words)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    first, *lines = map(json.loads, finished.stdout.splitlines())
    assert first["machine"]["gpu"]
    measured = {line["measure"]: line for line in lines if "measure" in line}
    assert measured["bytes_up_over_pixels_resnet18_float32"]["ratio"] >= 1
    assert measured["memory_peak_resnet18_float32"]["detail"]["of"] == "tensors on the GPU"
    assert measured["own_streams_over_one_32"]["ratio"] > 0
    assert measured["preprocessing_fused_over_plain"]["detail"]["seconds_to_compile"] > 0
    assert measured["decoding_torchvision_tiff_256_420"]["detail"]["device"].startswith("cuda")
