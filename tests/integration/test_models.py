"""Moving a library to another model, and teaching one the organisation's own words."""

import json
import shutil
from pathlib import Path
from threading import Event
from time import monotonic

import open_clip
import pytest
import torch
from PIL import Image

from api import compose
from api.auth import OWNER
from api.demo import LIBRARY
from api.settings import Settings, models_directory
from indexer import approved
from search.errors import BadQuery, BadSettings, ModelUnavailable
from search.library import Library
from search.models.adapting import Trained, heads_of, trained
from search.query import SearchRequest
from tests.commands import loupe
from tests.conftest import serving

pytestmark = pytest.mark.long

PHOTOS = LIBRARY / "photos"
ARCHITECTURE = "ViT-S-32-alt"
NAMES = ("espresso-cup", "scarlet-macaw", "eiffel-tower", "taj-mahal", "koala-in-tree")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another model: small, of random weights, as a checkpoint."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "small.pt"
    torch.save(open_clip.create_model(ARCHITECTURE).state_dict(), path)
    return f"{ARCHITECTURE}/{path}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A library of a few pictures and a recording's passages."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(PHOTOS / f"{name}.jpg", folder)
    shutil.copy(LIBRARY / "video" / "wild-coasts-teaser.mp4", folder)
    made = Settings(data_dir=str(tmp_path / "data"), runtime="float32")
    compose.index(made, [folder], None)
    return made


def model_in_use(settings: Settings, pictures: int = len(NAMES) + 1) -> tuple[str, str]:
    """The name written down, and that of the model that answers: with all that it has pictures of."""
    with compose.opened(settings) as opened:
        page = opened.searcher.search(OWNER.principal, SearchRequest(text="a tower", limit=10))
        assert len(page.hits) == pictures
        return opened.library.model(), opened.models.visual.model_id.name


def test_a_library_moves_over_when_all_is_embedded(settings: Settings, other: str) -> None:
    assert model_in_use(settings) == ("", "loupe-mini")
    done = compose.use_model(settings, other)
    assert (done.embedded, done.set_aside, done.interrupted) == (len(NAMES) + 1, (), False)
    assert model_in_use(settings) == (other, f"{ARCHITECTURE}/small.pt")
    again = compose.use_model(settings, "loupe-mini")
    assert again.embedded == 0, "its vectors are still there"
    assert model_in_use(settings) == ("loupe-mini", "loupe-mini")


def test_a_checkpoint_is_found_from_anywhere_and_may_move(
    settings: Settings, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written down is where it lies, not how one went there; its vectors stay its own elsewhere."""
    path = Path(other.removeprefix(f"{ARCHITECTURE}/"))
    monkeypatch.chdir(path.parent)
    assert compose.use_model(settings, f"{ARCHITECTURE}/{path.name}").embedded == len(NAMES) + 1
    monkeypatch.chdir(tmp_path)
    assert model_in_use(settings)[0] == other
    (tmp_path / "moved").mkdir()
    moved = f"{ARCHITECTURE}/{shutil.copy(path, tmp_path / 'moved')}"
    assert compose.use_model(settings, moved).embedded == 0
    assert model_in_use(settings)[0] == moved


def test_stopped_it_searches_with_the_old_one_and_goes_on_later(settings: Settings, other: str) -> None:
    stop = Event()
    stop.set()
    assert compose.use_model(settings, other, stop=stop).interrupted
    assert model_in_use(settings) == ("", "loupe-mini")
    assert not compose.use_model(settings, other).interrupted
    assert model_in_use(settings)[0] == other


def test_what_is_gone_is_named_and_the_rest_moves_over(settings: Settings, other: str, tmp_path: Path) -> None:
    """A picture has its preview; a film's keyframes need the original."""
    (tmp_path / "pictures" / "espresso-cup.jpg").unlink()
    (tmp_path / "pictures" / "wild-coasts-teaser.mp4").unlink()
    done = compose.use_model(settings, other)
    assert [Path(file.path).name for file in done.set_aside] == ["wild-coasts-teaser.mp4"]
    assert model_in_use(settings, pictures=len(NAMES))[0] == other


def test_a_model_named_in_the_settings_goes_first(settings: Settings, other: str) -> None:
    named = Settings(data_dir=settings.data_dir, model="loupe-mini")
    with pytest.raises(BadSettings, match="goes before"):
        compose.use_model(named, other)
    assert compose.use_model(named, "loupe-mini").embedded == 0
    with pytest.raises(ModelUnavailable):
        compose.use_model(settings, "loupe-mini+never-trained")


def test_what_the_model_has_not_seen_is_said_with_the_remedy(
    settings: Settings, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As after an update of Loupe whose model makes other vectors."""
    updated = Settings(data_dir=settings.data_dir, model=other, runtime="float32")
    with compose.opened(updated) as opened:
        hits = opened.searcher.search(OWNER.principal, SearchRequest(text="eiffel tower")).hits
        assert [hit.asset.title for hit in hits] == ["eiffel tower"], "its words are found all the same"
    assert f"embedded them: {len(NAMES) + 1}." in caplog.text
    assert f"`loupe model use {other}`" in caplog.text
    caplog.clear()
    compose.use_model(updated, other)
    assert len(model_in_use(updated)) == 2
    assert "by words alone" not in caplog.text


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_server_moves_over_by_itself(settings: Settings, other: str, processes: str) -> None:
    with (
        serving("serve", data_dir=Path(settings.data_dir), LOUPE_PROCESSES=processes) as server,
        server.client() as client,
    ):
        users = client.get("/v1/demo/people").json()
        client.post("/v1/demo/sign-in", json={"user": users[0]["user"]}).raise_for_status()

        def relevances() -> dict[str, float]:
            answer = client.post("/v1/search", json={"text": "qqq a tower in Paris", "limit": 10}).raise_for_status()
            return {hit["asset"]["id"]: hit["relevance"] for hit in answer.json()["hits"]}

        before = relevances()
        assert len(before) == len(NAMES) + 1
        done = loupe("model", "use", other, "--data-dir", settings.data_dir, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["embedded"] == len(NAMES) + 1
        deadline = monotonic() + 60
        while relevances() == before:
            assert monotonic() < deadline
        assert relevances().keys() == before.keys()


# ---- teaching


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two kinds of things that are easily told apart, under invented names; drafts and another collection beside."""
    root = tmp_path_factory.mktemp("taught")
    folder = root / "pictures"
    folder.mkdir()
    rows = []

    def add(name: str, picture: Image.Image, **said: object) -> None:
        picture.save(folder / f"{name}.png")
        rows.append({"path": f"{name}.png", "id": name, "status": "approved", "collection": "products", **said})

    macaw, tower = (Image.open(PHOTOS / f"{name}.jpg").convert("RGB") for name in ("scarlet-macaw", "eiffel-tower"))
    for n in range(24):
        for name, whole in (("Velunor", macaw), ("Quenvix", tower)):
            box = (3 * n, 2 * n, whole.width - 2 * n, whole.height - 3 * n)
            add(f"{name}-{n:02}", whole.crop(box), keywords=[name])
    add("draft", macaw, keywords=["Secretdraft"], status="in_review")
    add("elsewhere", tower, keywords=["Elsewhere"], collection="private")
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = Settings(data_dir=str(root / "data"))
    compose.index(settings, [folder], manifest)
    return settings


def test_only_what_is_approved_in_the_collection_is_learned_from(taught: Settings) -> None:
    library = Library(Path(taught.data_dir))
    assets = approved.approved(library, ["products"])
    library.close()
    assert {keyword for asset in assets for keyword in asset.keywords} == {"Velunor", "Quenvix"}


@pytest.fixture(scope="module")
def acme(taught: Settings) -> Trained:
    """What learning from them has made."""
    made = compose.train_model(taught, "acme", ["products"])
    assert made is not None
    return made


def test_invented_names_find_pictures_that_were_left_out(acme: Trained) -> None:
    assert acme.name == "loupe-mini+acme"
    assert acme.learned_from + acme.left_out == 48
    assert acme.left_out > 0
    assert acme.after.names == 2
    assert acme.after.mrr > acme.before.mrr
    assert acme.after.mrr > 0.9
    assert acme.parent.startswith("loupe-mini ")
    assert acme.collections == ("products",)


def test_list_and_doctor_tell_of_every_model(taught: Settings, acme: Trained) -> None:
    def lines(*command: str) -> list[dict[str, object]]:
        done = loupe(*command, "--data-dir", taught.data_dir, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    states = {str(one["name"]): one["state"] for one in lines("model", "list")}
    assert states["loupe-mini"] == "ships"
    assert states[acme.name] == "trained"
    assert states["ViT-B-32/datacomp_xl_s13b_b90k"] == "can be pulled"
    parts = lines("doctor")[0]["models"]
    assert isinstance(parts, list)
    for part in parts:
        assert part["source"] and part["licence"] and len(part["sha256"]) == 64 and part["training_data"]
    assert acme.name in {part["name"] for part in parts}


def test_a_trained_model_is_used_and_a_damaged_one_refused(taught: Settings, acme: Trained) -> None:
    assert [one.name for one in trained(models_directory(taught))] == [acme.name]
    done = compose.use_model(taught, acme.name)
    assert not done.interrupted
    with compose.opened(taught) as opened:
        assert opened.models.visual.model_id.name == acme.name

    with pytest.raises(BadQuery, match="answers with it"):
        compose.train_model(taught, "acme", ["products"])

    heads = heads_of(models_directory(taught), acme.name)
    whole = heads.read_bytes()
    heads.write_bytes(whole[:-1] + b"!")
    with pytest.raises(ModelUnavailable, match="not as it was written"):
        heads_of(models_directory(taught), acme.name)
    heads.write_bytes(whole)


def test_too_few_and_odd_names_are_refused(taught: Settings) -> None:
    with pytest.raises(BadQuery, match="too few"):
        compose.train_model(taught, "few", ["private"])
    for name in ("", "Acme", "../acme", "a/b", "x" * 80):
        with pytest.raises(BadQuery, match="not a name"):
            compose.train_model(taught, name, [])


def test_stopped_nothing_is_written(taught: Settings) -> None:
    stop = Event()
    stop.set()
    assert compose.train_model(taught, "stopped", [], stop=stop) is None
    with pytest.raises(ModelUnavailable):
        heads_of(models_directory(taught), "loupe-mini+stopped")
