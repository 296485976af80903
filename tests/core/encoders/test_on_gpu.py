"""What a GPU computes is what a CPU does, while it copies; skipped where torch sees no GPU."""

from random import Random

import numpy as np
import pytest
import torch
from exact_encoders import SMALLER, Digest, Wary, bad, exact_encoder, patches

from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, Transform
from atlaspatch_core.encoders.devices import present_device, resolve_device
from atlaspatch_core.encoders.fused_preprocessing import ROUNDING, Fused, optimized_preprocessing
from atlaspatch_core.encoders.model_cache import MODELS
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.encoders.precision import compute_float32_in_full
from atlaspatch_core.encoders.preprocessing import preprocess
from atlaspatch_core.encoders.resampling import by_pillow, by_weights
from atlaspatch_core.errors import NotFinite

GPU = present_device() or "cpu"
gpu = [pytest.mark.gpu, pytest.mark.skipif(GPU == "cpu", reason="torch sees no GPU")]
cuda = [pytest.mark.gpu, pytest.mark.skipif(GPU != "cuda", reason="torch sees no CUDA")]


def marked(marks: list[pytest.MarkDecorator]):
    """Return what marks a test by several marks."""

    def mark(test):
        for one in marks:
            test = one(test)
        return test

    return mark


def noise(count: int, height: int, width: int) -> torch.Tensor:
    drawn = np.random.default_rng(height).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return torch.from_numpy(drawn).permute(0, 3, 1, 2)


@pytest.fixture
def tf32_allowed():
    """Let convolutions and products be rounded, and put back what was set."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    yield
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])


def test_float32_is_computed_in_full_once_it_is_asked_for(tf32_allowed):
    compute_float32_in_full()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@marked(cuda)
def test_convolutions_and_products_of_float32_are_exact_to_24_bits(tf32_allowed):
    device, draw = resolve_device("cuda"), torch.Generator().manual_seed(0)
    images, kernels = torch.rand(2, 64, 32, 32, generator=draw), torch.rand(64, 64, 3, 3, generator=draw)
    exact = torch.nn.functional.conv2d(images.double(), kernels.double())
    found = torch.nn.functional.conv2d(images.to(device), kernels.to(device)).cpu().double()
    assert float(((found - exact) / exact).abs().max()) < 1e-5
    square = torch.rand(512, 512, generator=draw)
    exact, found = square.double() @ square.double(), (square.to(device) @ square.to(device)).cpu().double()
    assert float(((found - exact) / exact).abs().max()) < 1e-5


@marked(gpu)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_gpu_gives_pillows_very_pixels(interpolation):
    chance = Random(1)
    sizes = [(256, 256, 224, 224), (512, 512, 256, 256), (1024, 1024, 224, 224), (100, 100, 224, 224)]
    for height, width, *new in [*sizes, *[[chance.randint(1, 300) for _ in range(4)] for _ in range(20)]]:
        pixels = noise(2, height, width)
        assert torch.equal(
            by_weights(pixels.to(GPU), *new, interpolation).cpu(), by_pillow(pixels, *new, interpolation)
        )


IMAGENET = Transform(224, 224, "bicubic", IMAGENET_MEAN, IMAGENET_STD)


@marked(gpu)
def test_the_input_of_a_network_is_that_of_a_cpu():
    pixels = noise(4, 256, 256)
    assert torch.allclose(preprocess(pixels.to(GPU), IMAGENET).cpu(), preprocess(pixels, IMAGENET), atol=1e-6, rtol=0)


@marked(cuda)
def test_fused_preprocessing_gives_the_same_input_but_for_the_last_bit():
    pixels = noise(4, 256, 256).cuda()
    expected, fused = preprocess(pixels, IMAGENET), Fused(IMAGENET, pixels)
    assert float((fused(pixels) - expected).abs().max()) <= ROUNDING * float(expected.abs().max())
    assert torch.equal(fused(pixels[..., :240]), preprocess(pixels[..., :240], IMAGENET))


@marked(cuda)
def test_preprocessing_is_tried_where_patches_pay_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path))
    pixels, step = noise(32, 256, 256).cuda(), optimized_preprocessing(IMAGENET, torch.device("cuda"))
    step.expect(10**10)
    found, expected = step(pixels), preprocess(pixels, IMAGENET)
    assert step.optimized is not None
    assert float((found - expected).abs().max()) <= ROUNDING * float(expected.abs().max())


@marked(gpu)
@pytest.mark.parametrize("own_streams", [False, True])
def test_features_under_way_are_those_of_a_cpu_bit_for_bit(own_streams):
    kinds = [(Digest, 0), (Digest, 1, SMALLER), (Digest, 2)]
    together = PatchEncoders([exact_encoder(*kind, device=GPU) for kind in kinds], own_streams=own_streams)
    plain = PatchEncoders([exact_encoder(*kind) for kind in kinds])
    chance = Random(2)
    batches = [patches(chance.randint(1, 40), seed, side=24) for seed in range(40)]
    submissions = [together.submit(batch) for batch in batches]
    for batch, submission in zip(batches, submissions, strict=True):
        for found, expected in zip(submission.features(), plain.encode(batch), strict=True):
            assert np.array_equal(found, expected)


@marked(gpu)
def test_a_batch_that_fails_on_a_gpu_lets_the_others_pass():
    together = PatchEncoders([exact_encoder(Wary, device=GPU)])
    before, failing, after = [together.submit(batch) for batch in (patches(4, 0), bad(patches(4, 1)), patches(4, 2))]
    with pytest.raises(NotFinite):
        failing.features()
    assert [len(submission.features()[0]) for submission in (before, after)] == [4, 4]


@marked(cuda)
def test_the_next_batch_goes_up_while_the_gpu_computes_and_nobody_waits():
    together = PatchEncoders([exact_encoder(Digest, device="cuda")])
    for seed in range(3):
        together.encode(patches(4, seed))  # pinned memory is made
    busy = torch.cuda.Event()
    with torch.cuda.stream(together._pipeline._streams.inputs):
        torch.cuda._sleep(2_000_000_000)
        busy.record()
    first, second = together.submit(patches(4, 0)), together.submit(patches(4, 1))
    second.flights[0]._values[0].event.synchronize()  # its pixels are there
    assert not busy.query()
    assert not first.is_done()
    assert len(second.features()[0]) == 4


@marked(cuda)
def test_copies_pass_through_pinned_memory_that_is_made_once():
    together = PatchEncoders([exact_encoder(Digest, device="cuda")])
    for seed in range(3):
        together.encode(patches(8, seed))
    slots = together._pipeline._slots
    made = [[memory.data_ptr() for memory in (slot.pixels, *slot.features) if memory.is_pinned()] for slot in slots]
    for seed in range(6):
        together.encode(patches(8 - seed, seed))
    assert made == [[memory.data_ptr() for memory in (slot.pixels, *slot.features)] for slot in slots]


class Hungry(Digest):
    """Takes a fifth of the GPU's memory for each patch."""

    def forward(self, pixels):
        share = torch.cuda.mem_get_info(pixels.device)[1] // 5 if pixels.is_cuda else 0
        torch.empty(len(pixels) * share, dtype=torch.uint8, device=pixels.device)
        return super().forward(pixels)


@marked(cuda)
def test_memory_of_a_gpu_that_runs_out_halves_the_batch_and_goes_on(caplog):
    MODELS.release_idle()
    given = patches(11, 0)
    features = PatchEncoders([exact_encoder(Hungry, device="cuda")]).encode(given)
    assert "the device is out of memory with 11 patches at a time; going on with 5" in caplog.text
    assert np.array_equal(features[0], PatchEncoders([exact_encoder(Digest)]).encode(given)[0])
