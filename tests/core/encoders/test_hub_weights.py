"""A small server in place of the hub, and folders laid out as the hub's cache is: nothing here needs the network."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, Hub, digest, serve_hub
from server import refusing_port

from atlaspatch_core.encoders import hub_answer
from atlaspatch_core.encoders.hub import HubWeights, fetch, offline
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.url import UrlWeights
from atlaspatch_core.encoders.weights import LocalWeights
from atlaspatch_core.errors import MissingWeights, WrongWeights

WEIGHTS = HubWeights("maker/network", gated=True)
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    for name in ("HF_HUB_OFFLINE", "ATLASPATCH_OFFLINE", "ATLASPATCH_WEIGHTS", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub() as (hub, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield hub


def put_in_cache(tmp_path: Path, files: dict[str, bytes], repository: str = "models--maker--network") -> Path:
    """Lay files out as the hub's cache has them."""
    folder = tmp_path / "hub" / repository
    snapshot = folder / "snapshots" / COMMIT
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for name, data in files.items():
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_bytes(data)
    return snapshot


def test_what_is_in_the_cache_is_taken_without_asking_anybody(tmp_path: Path):
    snapshot = put_in_cache(tmp_path, {"pytorch_model.bin": b"one"})
    assert WEIGHTS.find("e") == snapshot / "pytorch_model.bin"
    assert WEIGHTS.spec("e") == {"sha256": digest(b"one")}


def test_safetensors_are_preferred(tmp_path: Path):
    snapshot = put_in_cache(tmp_path, {"pytorch_model.bin": b"one", "model.safetensors": b"two"})
    assert WEIGHTS.find("e") == snapshot / "model.safetensors"


def test_a_data_set_has_a_place_of_its_own(tmp_path: Path):
    snapshot = put_in_cache(tmp_path, {"deep/a.pth": b"one"}, "datasets--maker--network")
    source = HubWeights("maker/network", ("deep/a.pth",), dataset=True)
    assert source.find("e") == snapshot / "deep" / "a.pth"
    assert source.page == "https://huggingface.co/datasets/maker/network"


def test_a_folder_is_taken_when_weights_lie_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLASPATCH_OFFLINE", "1")
    snapshot = put_in_cache(tmp_path, {"config.json": b"{}"})
    folder = HubWeights("maker/network", None)
    assert folder.cached() is None
    (snapshot / "model.safetensors").write_bytes(b"one")
    assert folder.find("e") == snapshot


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "ATLASPATCH_OFFLINE"])
def test_offline_nothing_is_asked_for(hub: Hub, monkeypatch: pytest.MonkeyPatch, variable: str):
    monkeypatch.setenv(variable, "1")
    hub.files["model.safetensors"] = b"one"
    assert offline()
    with pytest.raises(MissingWeights, match=r"e: no weights from .*maker/network \(this run is offline\); go online"):
        WEIGHTS.find("e")
    with pytest.raises(MissingWeights, match=r"this run is offline.*\[weights\] e"):
        UrlWeights("http://127.0.0.1:9/net-abcdef01.pth").find("e")
    assert hub.asked == []


def test_what_is_not_here_is_fetched_once_and_known_by_its_bytes(hub: Hub):
    hub.files["pytorch_model.bin"] = b"one"
    assert WEIGHTS.spec("e") == {"repository": "maker/network", "revision": "main"}
    path = WEIGHTS.find("e")
    assert path.read_bytes() == b"one"
    asked = len(hub.asked)
    assert WEIGHTS.find("e") == path
    assert len(hub.asked) == asked
    assert WEIGHTS.spec("e") == {"sha256": digest(b"one")}


def test_a_hash_that_was_seen_once_is_known_when_the_file_is_gone(hub: Hub, tmp_path: Path):
    hub.files["model.safetensors"] = b"one"
    WEIGHTS.find("e")
    (tmp_path / "hub").rename(tmp_path / "gone")
    assert WEIGHTS.spec("e") == {"sha256": digest(b"one")}


def test_weights_are_fetched_before_an_identity_is_made_of_them(hub: Hub):
    hub.files["model.safetensors"] = b"one"
    fetch([("e", WEIGHTS), ("other", HubWeights("maker/other", ("missing.pt",))), ("mean", None)])
    assert WEIGHTS.spec("e") == {"sha256": digest(b"one")}
    asked = len(hub.asked)
    fetch([("e", WEIGHTS)])
    assert len(hub.asked) == asked


def test_a_local_copy_is_the_same_encoder(tmp_path: Path):
    put_in_cache(tmp_path, {"model.safetensors": b"one"})
    (tmp_path / "copy.safetensors").write_bytes(b"one")
    assert LocalWeights(tmp_path / "copy.safetensors").spec("e") == WEIGHTS.spec("e")


@pytest.mark.parametrize("refusal", ["GatedRepo", "RepoNotFound"])
def test_a_repository_that_refuses_says_where_to_ask(hub: Hub, refusal: str):
    hub.refusal = refusal
    ask = r"access is refused\); ask for access at https://huggingface.co/maker/network, log in by: hf auth login"
    with pytest.raises(MissingWeights, match=ask):
        WEIGHTS.find("e")


def test_a_repository_without_the_file_is_named(hub: Hub):
    with pytest.raises(MissingWeights, match=r"there is no model.safetensors or pytorch_model.bin"):
        WEIGHTS.find("e")
    assert any(path.endswith("pytorch_model.bin") for path in hub.asked)


def test_a_hub_that_cannot_be_reached_is_told_at_once_with_the_cure(monkeypatch: pytest.MonkeyPatch):
    """Its library would ask five times, for half a minute, each time that weights are wanted."""
    monkeypatch.setattr("time.sleep", None)
    with refusing_port() as port:
        refusing = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("HF_ENDPOINT", refusing)
        for _ in range(2):
            with pytest.raises(MissingWeights, match=rf"{refusing} cannot be reached: .*refused\); go online once, or"):
                WEIGHTS.find("e")


def test_a_hub_that_stalls_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_answer, "SECONDS", 0.2)
    monkeypatch.setattr(hub_answer, "SECONDS_REMEMBERED", 10**9)
    with socket.create_server(("127.0.0.1", 0)) as stalling:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{stalling.getsockname()[1]}")
        assert "no answer within 0.2 s" in hub_answer.hub_fault()
        stalling.setblocking(False)
        stalling.accept()[0].close()
        assert "no answer" in hub_answer.hub_fault()
        with pytest.raises(BlockingIOError):
            stalling.accept()


def test_a_declared_hash_is_the_identity_wherever_the_file_is():
    assert HubWeights("maker/network", sha256="ab" * 32).spec("e") == {"sha256": "ab" * 32}


def test_a_file_with_an_address_is_found_where_torch_keeps_it(tmp_path: Path):
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    source = UrlWeights(f"https://example.org/net-{digest(b'one')[:8]}.pth")
    assert source.cached() is None
    (folder / source.file).write_bytes(b"one")
    assert source.find("e") == folder / source.file
    (folder / source.file).write_bytes(b"others")
    with pytest.raises(WrongWeights, match="does not begin with"):
        source.find("e")


@pytest.mark.parametrize("place", ["uni_v1.bin", "uni_v1.safetensors", "uni_v1"])
def test_a_folder_of_weights_stands_in_for_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str):
    monkeypatch.setenv("ATLASPATCH_WEIGHTS", str(tmp_path))
    assert find_patch_encoder("uni_v1") is PATCH_ENCODERS["uni_v1"]
    (tmp_path / place).mkdir()
    assert find_patch_encoder("UNI_v1").source == LocalWeights(tmp_path / place)


def test_what_the_user_names_goes_before_the_folder_by_any_of_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLASPATCH_WEIGHTS", str(tmp_path))
    (tmp_path / "virchow_v2.pt").write_bytes(b"one")
    given = tmp_path / "mine.pt"
    assert find_patch_encoder("virchow_v2", {"virchow2": given}).source == LocalWeights(given)
    assert find_patch_encoder("virchow2", {"virchow_v2": given}).source == LocalWeights(given)
    assert find_patch_encoder("virchow2").source == LocalWeights(tmp_path / "virchow_v2.pt")
