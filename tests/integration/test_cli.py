"""The `loupe` command: answers, machine-readable lines, exit codes, and errors that name the cause and the remedy."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from api.demo import LIBRARY
from search.catalog import Catalog
from search.library import CATALOG
from search.renditions import RenditionStore
from tests import commands
from tests.conftest import Server

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def loupe(demo: Server, tmp_path: Path) -> Run:
    """Runs `loupe` in an empty folder, on the demo's library unless another data directory is given."""

    def run(*arguments: str, data_dir: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        where = {"LOUPE_DATA_DIR": str(data_dir or demo.data_dir)}
        return commands.loupe(*arguments, folder=tmp_path, **(where | environment))

    return run


def test_help_comes_at_once_and_has_examples() -> None:
    def loupe(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "api", *arguments], capture_output=True, text=True, timeout=120, check=True
        ).stdout

    for command in ([], ["index"], ["search"], ["serve"], ["similar"], ["grant"], ["token"], ["demo"]):
        assert "Example" in loupe(*command, "--help")
    assert loupe("--version").strip()


def test_a_search_in_the_terminal(loupe: Run) -> None:
    run = loupe("search", "hot drink seen from above", "--as", "mara")
    assert run.returncode == 0
    assert run.stdout.index("Espresso in red cup") < run.stdout.index("Hot")
    assert "words:" in run.stdout


@pytest.mark.long
def test_a_search_for_machines(loupe: Run) -> None:
    usage = "channel=social,territory=DE,on=2027-03-01,until=2027-03-31"
    page = json.loads(loupe("search", "sea", "--as", "mara", "--usage", usage, "--json", "--limit", "5").stdout)
    assert len(page["hits"]) == 5
    assert all(hit["clearance"]["cleared"] for hit in page["hits"])
    assert page["notCleared"]["total"] > 0


@pytest.mark.long
def test_similar_in_the_terminal(loupe: Run) -> None:
    run = loupe("similar", str(LIBRARY / "photos/scarlet-macaw.jpg"), "--as", "mara", "--json")
    assert json.loads(run.stdout)["hits"][0]["asset"]["id"] == "scarlet-macaw"


@pytest.mark.long
def test_several_pictures_and_words_in_the_terminal(loupe: Run) -> None:
    pictures = [str(LIBRARY / f"photos/{name}.jpg") for name in ("scarlet-macaw", "espresso-cup")]
    found = json.loads(loupe("similar", *pictures, "--as", "mara", "--json").stdout)
    assert {hit["asset"]["id"] for hit in found["hits"]} >= {"scarlet-macaw", "espresso-cup"}
    run = loupe("similar", *pictures, "--text", "orchestra", "--text-weight", "1", "--as", "mara", "--json")
    assert json.loads(run.stdout)["hits"][0]["asset"]["id"] == "symphony-orchestra"


@pytest.mark.long
def test_a_person_sees_in_the_terminal_what_they_see_on_the_page(demo: Server, loupe: Run) -> None:
    said = json.loads(loupe("search", "coffee", "--as", "tomasz", "--json", "--limit", "50").stdout)
    with demo.client("tomasz") as client:
        page = client.post("/v1/search", json={"text": "coffee", "limit": 50}).json()
    assert [hit["asset"]["id"] for hit in said["hits"]] == [hit["asset"]["id"] for hit in page["hits"]]
    assert said["total"] == page["total"]


@pytest.mark.long
def test_status_doctor_verify(loupe: Run) -> None:
    assert json.loads(loupe("status", "--json").stdout)["assets"] == 138
    doctor = json.loads(loupe("doctor", "--json").stdout)
    assert doctor["model"] == "loupe-mini"
    assert all(len(part["sha256"]) == 64 for part in doctor["models"])
    assert json.loads(loupe("verify", "--json").stdout) == {"sound": True, "wrong": []}
    assert "loupe-mini" in loupe("model", "list").stdout


def test_a_token_opens_the_door_that_it_is_for(demo: Server, loupe: Run) -> None:
    token = loupe("token", "ann", "--group", "marketing-emea", "--hours", "1").stdout.strip()
    with demo.client() as client:
        session = client.get("/v1/session", headers={"Authorization": f"Bearer {token}"}).json()
    assert (session["user"], session["groups"], session["roles"]) == ("ann", ["marketing-emea"], ["viewer"])


@pytest.mark.long
def test_damage_is_found_and_mended(demo: Server, loupe: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(demo.data_dir, copy)
    published = max((copy / "generations").iterdir())
    victim = max((path for path in published.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    victim.chmod(0o600)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with closing(Catalog.at(copy / CATALOG)) as catalog:
        films = [asset for asset in catalog.every_asset() if asset.has_playback]
    store = RenditionStore(copy / "renditions")
    whole = {path: path.read_bytes() for film in films for path in store.path(film.content_hash, "").iterdir()}
    assert len(whole) > 3
    for path in whole:
        path.unlink()
    verified = loupe("verify", data_dir=copy)
    assert verified.returncode == 3
    assert verified.stdout.count("loupe rebuild") == 1 + len(films)
    rebuilt = loupe("rebuild", "--json", data_dir=copy)
    assert rebuilt.returncode == 0
    assert json.loads(rebuilt.stdout.splitlines()[-1])["previews"] == len(films)
    assert {path for path in whole if path.is_file()} == whole.keys()
    assert loupe("verify", data_dir=copy).returncode == 0
    found = json.loads(loupe("search", "espresso", "--as", "mara", "--json", data_dir=copy).stdout)
    assert found["hits"][0]["asset"]["id"] == "espresso-cup"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["index"], 2, "Name a folder or file"),
        (["index", "/no/such/folder"], 2, "/no/such/folder"),
        (["index", ".", "--manifest", "missing.csv"], 2, "missing.csv"),
        (["search", "x", "--usage", "social"], 2, "channel=social"),
        (["search", "x", "--limit", "0"], 2, "limit"),
        (["search", "x", "--role", "viewer"], 2, "--as"),
        (["search", "x", "--as", "ann", "--role", "king"], 2, "viewer"),
        (["similar", "missing.jpg"], 2, "missing.jpg"),
        (["similar"], 2, "IMAGE"),
        (["similar", *[__file__] * 9], 2, "at most 8"),
        (["similar", __file__, "--text-weight", "2"], 2, "--text-weight"),
        (["grant", "Brand", "marketing=find"], 2, "marketing=find"),
        (["fly"], 2, "No such command"),
        (["serve", "--port", "99999999"], 2, "port"),
        (["serve", "--host", "0.0.0.0"], 2, "loupe token"),  # noqa: S104 (that it is refused is what is tested)
        (["demo", "--host", "192.168.0.1", "--data-dir", "x"], 2, "127.0.0.1"),
    ],
)
def test_wrong_use_is_told_with_the_remedy(loupe: Run, arguments: list[str], code: int, says: str) -> None:
    run = loupe(*arguments)
    assert run.returncode == code, run.stderr
    assert says in run.stderr.replace("\n", " ")
    assert "Traceback" not in run.stderr


@pytest.mark.long
def test_a_port_that_is_taken_is_said_with_the_remedy(loupe: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        run = loupe("serve", "--port", str(other.getsockname()[1]))
    assert run.returncode == 2
    assert "--port" in run.stderr


@pytest.mark.parametrize("command", [["search", "x"], ["status"], ["verify"], ["rebuild"], ["serve"], ["token", "ann"]])
def test_without_a_library_it_is_said_how_to_make_one(loupe: Run, tmp_path: Path, command: list[str]) -> None:
    run = loupe(*command, data_dir=tmp_path / "nothing")
    assert run.returncode in (2, 3)
    assert "loupe index" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"LOUPE_PORT": "many"}, "LOUPE_PORT"),
        ({"LOUPE_COLOUR": "red"}, "colour"),
        ({"LOUPE_TIME_ZONE": "Mars/Olympus"}, "Mars/Olympus"),
        ({"LOUPE_LANGUAGES": "en;tlh"}, "tlh"),
        ({"LOUPE_CONFIG": "missing.toml"}, "missing.toml"),
        ({"LOUPE_MODEL": "no-such-model"}, "loupe model list"),
    ],
)
def test_a_wrong_setting_is_named(loupe: Run, environment: dict[str, str], says: str) -> None:
    run = loupe("search", "x", **environment)
    assert run.returncode in (2, 3)
    assert says in run.stderr.replace("\n", " ")
    assert "Traceback" not in run.stderr


def test_settings_come_from_file_environment_and_command_line(loupe: Run, tmp_path: Path) -> None:
    (tmp_path / "loupe.toml").write_text('port = 1111\nworkers = 3\nhost = "::1"\n')
    (tmp_path / "synonyms.txt").write_text("car, auto\nlonely\n")
    environment = {"LOUPE_PORT": "2222", "LOUPE_LANGUAGES": "de;en", "LOUPE_DATA_DIR": str(tmp_path)}
    said = json.loads(loupe("doctor", "--json", **environment).stdout)
    settings = said["settings"]
    assert settings["languages"] == ["de", "en"]
    assert said["synonyms"]["rules"] == 2
    assert "synonyms.txt, line 2" in said["synonyms"]["problems"][0]
    assert (settings["port"], settings["workers"], settings["host"]) == (2222, 3, "::1")
    (tmp_path / "loupe.toml").write_text("port = \n")
    assert "loupe.toml" in loupe("doctor").stderr


@pytest.mark.long
def test_grants_hold_at_once(loupe: Run, tmp_path: Path) -> None:
    folder = tmp_path / "Brand"
    folder.mkdir()
    shutil.copy(LIBRARY / "photos/espresso-cup.jpg", folder)
    library = tmp_path / "data"
    assert loupe("grant", "Brand", "everyone=find", data_dir=library).returncode in (2, 3)
    assert loupe("index", str(folder), data_dir=library, LOUPE_DEFAULT_GRANTS="").returncode == 0

    def seen(*who: str) -> int:
        return int(json.loads(loupe("search", "", "--json", *who, data_dir=library).stdout)["total"])

    assert seen("--as", "ben") == 0
    assert loupe("grant", "Brand", "group:marketing=find", data_dir=library).returncode == 0
    assert seen("--as", "ann", "--group", "marketing") == 1
