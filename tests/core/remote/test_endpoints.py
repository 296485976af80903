"""An address of a store that is none is a sentence, not a crash of the library below."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paths import ROOT
from rounds import examples

from atlaspatch_core.errors import UnreachableStore
from atlaspatch_core.remote.endpoints import VARIABLES, check_endpoints, is_web_address

pytest.importorskip("obstore")
pytestmark = pytest.mark.quick

HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True)


@examples(100)
@given(scheme=st.sampled_from(["http", "https"]), host=HOSTS, port=st.none() | st.integers(1, 65535))
def test_urls_of_hosts_pass(scheme: str, host: str, port: int | None):
    address = f"{scheme}://{host}" + ("" if port is None else f":{port}")
    assert is_web_address(address)
    for variable in VARIABLES["s3"]:
        check_endpoints("s3://bucket", {variable: address})


# the library's own reader of URLs, in a process of its own, for it crashes that of whoever asks it
ASK = """
import json, sys
from obstore.store import S3Store
import obstore
texts, fates = json.load(sys.stdin), []
for text in texts:
    try:
        store = S3Store("b", endpoint=text, aws_access_key_id="a", aws_secret_access_key="b", region="x",
                        client_options={"allow_http": True, "timeout": "1ms"}, retry_config={"max_retries": 0})
        obstore.head(store, "k")
    except Exception:
        fates.append(True)
    except BaseException:
        fates.append(False)
print(json.dumps(fates))
"""


@examples(40)
@given(texts=st.lists(st.text("a1.-_:/[]%@?# é", max_size=12) | st.text(max_size=8), min_size=20, max_size=60))
@example(["nonsense", "http://[bad", "x y", "http://", "://", "ftp://a", "http://a b", "http://a:99999", "http://a%"])
def test_what_passes_never_crashes_the_library(texts: list[str]):
    passing = [text for text in [*texts, *(f"http://{text}" for text in texts)] if is_web_address(text)]
    if not passing:
        return
    done = subprocess.run(
        [sys.executable, "-c", ASK], input=json.dumps(passing), capture_output=True, text=True, timeout=120
    )
    assert all(json.loads(done.stdout.splitlines()[-1])), passing


@pytest.mark.parametrize("value", ["nonsense", "http://[bad", "x y"])
def test_a_command_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str):
    with pytest.raises(UnreachableStore, match=r"AWS_ENDPOINT_URL is .* which is no URL of a server; give such as"):
        check_endpoints("s3://bucket", {"AWS_ENDPOINT_URL": value})
    words = ["encode-slide", "s3://bucket/folder", "-o", str(tmp_path / "out"), "--patch-size", "256"]
    words += ["--target-mag", "20", "--patch-encoders", "efficientnet_lite0"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", value)
    code = "import sys; from atlaspatch_core.cli.main import cli; cli(sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT)
    assert "AWS_ENDPOINT_URL is" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in (1, 2)
