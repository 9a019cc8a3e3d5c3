"""Pulling models: from a server that speaks the hub's wire, on the loopback interface."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file

from search.errors import BadQuery, ModelUnavailable
from search.models.loading import load_models
from search.models.store import ModelStore

NAME = "RN50/openai"  # any name that is published; the hub says what its file is
REVISIONS = {"main": "a" * 40, "next": "b" * 40}


class Hub:
    """What the hub serves: one weights file, the same in every repository."""

    def __init__(self, weights: bytes) -> None:
        self.weights = weights
        self.etag = hashlib.sha256(weights).hexdigest()
        self.endpoint = ""
        self.stall_after: int | None = None
        self.stalled = Event()
        self.ranges: list[str] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def _answer(self, *, body: bool) -> None:
                parts = self.path.split("?")[0].strip("/").split("/")
                if parts[0] == "api":
                    self._send(200, json.dumps({"id": "x/y", "cardData": {"license": "mit"}}).encode(), {})
                    return
                commit = REVISIONS.get(parts[3], parts[3])
                headers = {"X-Repo-Commit": commit, "ETag": f'"{hub.etag}"', "Accept-Ranges": "bytes"}
                if commit not in REVISIONS.values():
                    self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
                elif not parts[-1].endswith(".safetensors"):
                    self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                else:
                    self._file(headers, body=body)

            def _file(self, headers: dict[str, str], *, body: bool) -> None:
                asked = self.headers.get("Range", "")
                start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
                if body:
                    hub.ranges.append(asked)
                if asked:
                    headers["Content-Range"] = f"bytes {start}-{len(hub.weights) - 1}/{len(hub.weights)}"
                self._send(206 if asked else 200, hub.weights[start:], headers, body=body)

            def _send(self, status: int, data: bytes, headers: dict[str, str], *, body: bool = True) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if body and self.command == "GET":
                    if hub.stall_after is None or len(data) < 1000:
                        self.wfile.write(data)
                    else:  # the rest never comes
                        self.wfile.write(data[: hub.stall_after])
                        hub.stalled.set()
                        with suppress(ConnectionError):
                            self.rfile.read()

            def log_message(self, *_: object) -> None:
                """Not on the test's output."""

        return Handler


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file({k: v.contiguous() for k, v in open_clip.create_model("ViT-S-32-alt").state_dict().items()}, path)
    return path.read_bytes()


@pytest.fixture
def hub(weights: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(weights)
    with ThreadingHTTPServer(("127.0.0.1", 0), hub.handler()) as server:
        endpoint = hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", endpoint)
        # A table entry of open_clip for the small architecture, as those of the published ones are.
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-S-32-alt", {"tiny": {"hf_hub": "loupe/tiny/"}})
        Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()


TINY = "ViT-S-32-alt/tiny"
CHUNK = constants.DOWNLOAD_CHUNK_SIZE


def test_what_was_pulled_is_loaded_and_nothing_else(hub: Hub, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    with pytest.raises(ModelUnavailable, match="not on this machine") as missing:
        load_models(TINY, tmp_path)
    assert "loupe model pull" in missing.value.remedy
    pulled = store.pull(TINY)
    assert (pulled.repository, pulled.revision, pulled.sha256) == ("loupe/tiny", REVISIONS["main"], hub.etag)
    assert (pulled.licence, pulled.byte_size) == ("mit", len(hub.weights))
    asked = len(hub.ranges)
    model, transform = open_clip.create_model_from_pretrained("ViT-S-32-alt", pretrained=str(store.checkpoint(TINY)))
    picture = Image.new("RGB", (300, 200), "teal")
    with torch.inference_mode():
        expected = model.eval().encode_image(transform(picture)[None], normalize=True).numpy()
    loaded = load_models(TINY, tmp_path, "float32")
    np.testing.assert_allclose(loaded.visual.embed_images([picture]), expected, atol=1e-5)
    assert len(hub.ranges) == asked, "loading downloads nothing"


def test_a_pull_that_was_killed_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    name = "ViT-B-32/datacomp_xl_s13b_b90k"  # the hub gives the same file under every name
    half = hub.stall_after = len(hub.weights) // 2
    command = [sys.executable, "-m", "api", "model", "pull", name, "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        command, env=os.environ | {"HF_ENDPOINT": hub.endpoint}, stderr=subprocess.DEVNULL
    ) as pulling:
        assert hub.stalled.wait(60)
        partial = next(path for path in tmp_path.rglob("*.partial"))
        while partial.stat().st_size < CHUNK * (half // CHUNK):  # what was sent is on its way to the disk
            assert pulling.poll() is None
        pulling.kill()
    kept = partial.stat().st_size
    store = ModelStore(tmp_path / "models")
    assert store.get(name) is None
    hub.stall_after, hub.ranges = None, []
    assert store.pull(name).sha256 == hub.etag
    assert kept > half - CHUNK
    assert hub.ranges == [f"bytes={kept}-"], "what came before is not fetched again"


def test_a_wrong_checksum_is_refused_and_not_kept(hub: Hub, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    with pytest.raises(ModelUnavailable, match="thrown away"):
        store.pull(TINY, sha256="0" * 64)
    hub.weights = hub.weights[:-1] + b"!"  # the hub still names the old checksum
    with pytest.raises(ModelUnavailable, match="thrown away"):
        store.pull(TINY)
    assert store.pulled() == []


def test_a_file_damaged_later_is_not_loaded_but_pulled_again(hub: Hub, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.pull(TINY)
    path = store.checkpoint(TINY)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelUnavailable, match="is not the file that was pulled"):
        store.checkpoint(TINY)
    store.pull(TINY)
    assert store.checkpoint(TINY) == path


def test_a_pull_stays_at_its_revision(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ModelStore(tmp_path)
    first = store.pull(TINY)
    monkeypatch.setitem(REVISIONS, "main", "c" * 40)
    monkeypatch.setitem(REVISIONS, "old", first.revision)
    fetched = len(hub.ranges)
    assert store.pull(TINY) == first
    assert len(hub.ranges) == fetched, "what is there and sound is not fetched again"
    assert store.pull(TINY, revision="next").revision == REVISIONS["next"]


def test_what_cannot_be_pulled_says_why(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ModelStore(tmp_path)
    with pytest.raises(BadQuery, match="no model"):
        store.pull("ViT-B-32/no-such-tag")
    with pytest.raises(ModelUnavailable, match="at 'no-such-revision'"):
        store.pull(TINY, revision="no-such-revision")
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-S-32-alt", {"nowhere": {"url": "", "hf_hub": ""}})
    with pytest.raises(BadQuery, match="on no hub"):
        store.pull("ViT-S-32-alt/nowhere")


def test_without_a_hub_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere + "/{repo_id}/resolve/{revision}/{filename}")
    with pytest.raises(ModelUnavailable, match="9") as raised:
        ModelStore(tmp_path).pull("ViT-B-32/datacomp_xl_s13b_b90k")
    assert "loupe-mini" in raised.value.remedy
