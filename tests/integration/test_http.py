"""Every door of the API: what it takes, and a clear answer to what it does not."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import ui
from api.app import ACCESS
from api.demo import LIBRARY
from tests.conftest import Server


@pytest.fixture
def mara(demo: Server) -> Iterator[httpx.Client]:
    with demo.client("mara") as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == f"urn:loupe:problem:{code}"
    assert body["detail"]
    return body


def test_access_is_said_of_each_route(demo: Server) -> None:
    """The table that reviewers read names the routes there are, no fewer and no more."""
    paths = httpx.get(f"{demo.address}/schema/openapi.json").json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert routes == set(ACCESS)


def test_a_glass_of_wine_is_found(mara: httpx.Client) -> None:
    page = mara.post("/v1/search", json={"text": "cosy evening with a glass of red"}).json()
    assert page["hits"][0]["asset"]["id"] == "wine-and-djembe-room"
    assert not page["hits"][0]["weak"]
    assert page["hits"][0]["why"]


def test_a_hot_drink_is_coffee(mara: httpx.Client) -> None:
    """The film about it and the cup, which nobody calls a drink; hot dogs and hot air come after the break."""
    hits = mara.post("/v1/search", json={"text": "hot drink seen from above"}).json()["hits"]
    assert {hit["asset"]["id"] for hit in hits if not hit["weak"]} == {"how-to-taste-coffee", "espresso-cup"}


def test_a_picture_of_a_bird_finds_birds(mara: httpx.Client) -> None:
    bird = (LIBRARY / "photos/scarlet-macaw.jpg").read_bytes()
    page = mara.post("/v1/similar", files={"image": bird}).json()
    assert page["hits"][0]["asset"]["id"] == "scarlet-macaw"
    assert "kingfisher-on-branch" in [hit["asset"]["id"] for hit in page["hits"][:6]]


def test_a_picture_and_words_together(mara: httpx.Client) -> None:
    cup = (LIBRARY / "photos/espresso-cup.jpg").read_bytes()
    answer = mara.post(
        "/v1/similar", files={"image": cup}, data={"query": '{"text": "video", "filters": {"type": ["video"]}}'}
    )
    assert {hit["asset"]["type"] for hit in answer.json()["hits"]} == {"video"}


def test_a_moment_is_found_in_what_is_said(mara: httpx.Client) -> None:
    hit = mara.post("/v1/search", json={"text": "break the crust with a spoon"}).json()["hits"][0]
    assert hit["asset"]["id"] == "how-to-taste-coffee"
    passage = next(why for why in hit["why"] if why["leg"] == "passage")
    assert 0 < passage["start"] < passage["end"] < hit["asset"]["duration"]


def test_not_pushes_away(mara: httpx.Client) -> None:
    plain = mara.post("/v1/search", json={"text": "animal"}).json()["hits"]
    without = mara.post("/v1/search", json={"text": "animal", "not": "bird"}).json()["hits"]
    assert [hit["asset"]["id"] for hit in plain] != [hit["asset"]["id"] for hit in without]


def test_quoted_words_must_occur(mara: httpx.Client) -> None:
    page = mara.post("/v1/search", json={"text": '"Eiffel Tower"'}).json()
    assert {hit["asset"]["id"] for hit in page["hits"]} <= {"eiffel-tower", "eiffel-tower-dup", "city-breaks-by-train"}
    assert page["total"] == len(page["hits"]) > 0


def test_similar_leaves_itself_out(mara: httpx.Client) -> None:
    hits = mara.get("/v1/assets/espresso-cup/similar").json()["hits"]
    assert hits[0]["asset"]["id"] == "espresso-cup-crop"
    assert "espresso-cup" not in [hit["asset"]["id"] for hit in hits]
    assert mara.get("/v1/assets/interview-beekeeper/similar").json()["hits"]


def ids(answer: httpx.Response) -> list[str]:
    return [hit["asset"]["id"] for hit in answer.raise_for_status().json()["hits"]]


@pytest.mark.parametrize(
    ("text", "id", "term"),
    [
        ("butterlfy", "butterfly-on-purple-flower", "butterfly"),
        ("eifel tower", "eiffel-tower", "Eiffel"),
        ("orchester", "symphony-orchestra", "orchestra"),
        ("cofee", "espresso-cup", "coffee"),
    ],
)
def test_a_slip_of_the_finger_still_finds(mara: httpx.Client, text: str, id: str, term: str) -> None:
    hits = mara.post("/v1/search", json={"text": text}).json()["hits"][:3]
    hit = next(hit for hit in hits if hit["asset"]["id"] == id)
    assert any(term in why.get("terms", ()) for why in hit["why"] if why["leg"] == "keyword")


@pytest.mark.parametrize("text", ["eiffel-tower-dup", "EIFFEL-TOWER-DUP.JPG", " eiffel-tower-dup.jpg "])
def test_an_id_or_a_file_name_puts_its_asset_first(mara: httpx.Client, text: str) -> None:
    hit = mara.post("/v1/search", json={"text": text}).json()["hits"][0]
    assert hit["asset"]["id"] == "eiffel-tower-dup"
    assert hit["why"][0]["leg"] == "keyword"
    assert hit["why"][0]["terms"]


def test_a_minus_takes_away(mara: httpx.Client) -> None:
    plain, without = (ids(mara.post("/v1/search", json={"text": text})) for text in ("animal", "animal -bird"))
    pushed = ids(mara.post("/v1/search", json={"text": "animal", "not": "bird"}))
    assert without == pushed != plain
    towers = mara.post("/v1/search", json={"text": 'city -"eiffel tower"', "limit": 200}).json()
    assert not {"eiffel-tower", "eiffel-tower-dup"} & {hit["asset"]["id"] for hit in towers["hits"]}
    assert towers["total"] == mara.post("/v1/search", json={"text": "city"}).json()["total"] - len(
        ids(mara.post("/v1/search", json={"text": '"eiffel tower"', "limit": 200}))
    )


def test_not_alone_browses_the_rest(mara: httpx.Client) -> None:
    every = ids(mara.post("/v1/search", json={"limit": 200}))
    for request in ({"not": "coffee"}, {"text": "-coffee"}):
        page = mara.post("/v1/search", json={"limit": 200, **request})
        rest = ids(page)
        assert "espresso-cup" not in rest
        assert rest == [one for one in every if one in set(rest)], "newest first, as before"
        assert len(every) - 20 < len(rest) == page.json()["total"] == sum(page.json()["facets"]["type"].values())


def test_similar_to_several_is_between_them(mara: httpx.Client) -> None:
    macaw, cup = "scarlet-macaw", "espresso-cup"
    one = mara.post("/v1/search", json={"similarTo": macaw})
    assert ids(one) == ids(mara.post("/v1/search", json={"similarTo": [macaw]}))
    assert ids(one) == ids(mara.get(f"/v1/assets/{macaw}/similar"))
    both = ids(mara.post("/v1/search", json={"similarTo": [macaw, cup]}))
    assert both == ids(mara.get("/v1/search", params={"similarTo": [cup, macaw]}))
    assert not {macaw, cup} & set(both)
    assert {"espresso-cup-crop", "kingfisher-on-branch"} <= set(both)
    problem(mara.post("/v1/search", json={"similarTo": [macaw, "there-is-none"]}), 404, "not-found")
    problem(mara.post("/v1/search", json={"similarTo": [str(n) for n in range(9)]}), 400, "bad-query")


def test_several_pictures_at_once(mara: httpx.Client) -> None:
    macaw, cup = ((LIBRARY / f"photos/{name}.jpg").read_bytes() for name in ("scarlet-macaw", "espresso-cup"))
    answer = mara.post("/v1/similar", files=[("image", macaw), ("image", cup)])
    assert {"scarlet-macaw", "espresso-cup"} <= set(ids(answer)[:8])
    problem(mara.post("/v1/similar", files=[("image", macaw)] * 9), 400, "bad-query")
    problem(mara.post("/v1/similar", files=[("image", macaw)], data={"image": "x"}), 400, "bad-query")


def test_words_and_picture_are_weighed(mara: httpx.Client) -> None:
    def found(**request: object) -> list[str]:
        return ids(
            mara.post("/v1/search", json={"text": "orchestra on a stage", "similarTo": "espresso-cup", **request})
        )

    assert found(textWeight=1)[0] == "symphony-orchestra"
    assert found(textWeight=0)[0] == "espresso-cup-crop"
    assert found(textWeight=0.5) == found()
    assert found() == ids(
        mara.get("/v1/search", params={"q": "orchestra on a stage", "similarTo": "espresso-cup", "textWeight": 0.5})
    )
    assert ids(mara.get("/v1/search", params={"q": "sea", "textWeight": 0.1})) == ids(
        mara.get("/v1/search", params={"q": "sea"})
    )


def test_the_request_is_documented(demo: Server) -> None:
    schema = httpx.get(f"{demo.address}/schema/openapi.json").json()["components"]["schemas"]["SearchRequest"]
    assert "8" in schema["properties"]["similarTo"]["description"]
    assert "0 to 1" in schema["properties"]["textWeight"]["description"]


def test_pages_follow_one_another(mara: httpx.Client) -> None:
    whole = [hit["asset"]["id"] for hit in mara.post("/v1/search", json={"text": "sea", "limit": 60}).json()["hits"]]
    parts: list[str] = []
    cursor = None
    while len(parts) < 60:
        page = mara.post(
            "/v1/search", json={"text": "sea", "limit": 20, **({"cursor": cursor} if cursor else {})}
        ).json()
        parts += [hit["asset"]["id"] for hit in page["hits"]]
        cursor = page["nextCursor"]
    assert parts == whole


@pytest.mark.parametrize("facet", ["collection", "keyword"])
def test_a_filter_of_hundreds_of_values_lets_through_what_has_one(mara: httpx.Client, facet: str) -> None:
    """Most of them values that no asset has."""
    every = mara.post("/v1/search", json={}).json()
    chosen = list(every["facets"][facet])[:3]

    def found(values: list[str]) -> tuple[list[str], int]:
        answer = mara.post("/v1/search", json={"limit": 200, "filters": {facet: values}})
        return ids(answer), answer.json()["total"]

    few = found(chosen)
    assert 0 < few[1] < every["total"]
    assert found([*chosen, *(f"no such {number}" for number in range(900))]) == few
    assert found([f"no such {number}" for number in range(900)]) == ([], 0)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"text": "x" * 20_000}, "20,000 characters"),
        ({"limit": 0}, "`limit`"),
        ({"limit": 10_000}, "`limit`"),
        ({"textWeight": 1.5}, "`textWeight`"),
        ({"text": "sea", "textWeight": -1}, "`textWeight`"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"usage": {"territory": "Germany"}}, "Germany"),
        ({"usage": {"on": "2027-03-02", "until": "2027-03-01"}}, "before it begins"),
        ({"usage": {"until": "2027-03-01"}}, "first"),
        ({"filters": {"orientation": ["diagonal"]}}, "diagonal"),
        ({"filters": {"collection": [f"c{number}" for number in range(1_001)]}}, "1,001 values"),
        ({"filters": {"created": {"from": "yesterday"}}}, "created"),
    ],
)
def test_a_search_out_of_bounds_says_so(mara: httpx.Client, request_: dict[str, Any], says: str) -> None:
    assert says in problem(mara.post("/v1/search", json=request_), 400, "bad-query")["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"text": 5}',
        b'{"txt": "misspelt"}',
        b'{"usage": {"channel": "carrier pigeon"}}',
        b"\xff",
        b'{"text": "\xff"}',
        b"[" * 20_000,
    ],
)
def test_what_is_no_search_request_is_refused(mara: httpx.Client, body: bytes) -> None:
    answer = mara.post("/v1/search", content=body, headers={"content-type": "application/json"})
    problem(answer, 400, "bad-request")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "🐦",
            "🐶" * 999,
            "the of and",
            "to be or not",
            "\u202e\x00",
            "\u200f שלום",
            "' OR 1=1 --",
            "(" * 999,
        ),
        *("a" * 2000, "x" * 10_000, "y z " * 2500, '"', '""', '"a" ' * 99, "-", '-""', "-bird", '-"a" ' * 99),
    ],
)
def test_odd_texts_are_answered(mara: httpx.Client, text: str) -> None:
    assert mara.post("/v1/search", json={"text": text}).status_code == 200
    assert mara.get("/v1/search", params={"q": text}).status_code == 200


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "broken-media"),
        (b"a note, not a picture", 415, "unsupported-media"),
        (b"\xff\xd8\xff\xe0 cut short", 400, "broken-media"),
        ((LIBRARY / "documents/brand-guidelines.pdf").read_bytes(), 415, "unsupported-media"),
    ],
    ids=["empty", "text", "cut short", "document"],
)
def test_a_query_picture_that_is_none_is_refused(mara: httpx.Client, data: bytes, status: int, code: str) -> None:
    problem(mara.post("/v1/similar", files={"image": ("bird.jpg", data)}), status, code)


def test_a_picture_bomb_is_refused_by_its_header(mara: httpx.Client) -> None:
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    says = problem(mara.post("/v1/similar", files={"image": bomb.getvalue()}), 413, "media-too-large")["detail"]
    assert "30000 x 30000" in says


def test_a_form_without_a_picture_is_refused(mara: httpx.Client) -> None:
    problem(mara.post("/v1/similar", data={"query": "{}"}), 400, "bad-query")
    for query in (b"{", b'{"text": "\xff"}', b"[" * 20_000):
        parts = {"image": ("bird.jpg", b"x"), "query": ("query.json", query)}
        problem(mara.post("/v1/similar", files=parts), 400, "bad-query")
    problem(mara.post("/v1/similar", files={"image": b"x"}, data={"query": "{"}), 400, "bad-query")


def test_previews_come_in_three_sizes_and_are_asked_for_again(mara: httpx.Client) -> None:
    for size in (256, 640, 1280):
        answer = mara.get("/v1/assets/espresso-cup/preview", params={"size": size})
        assert answer.headers["content-type"] == "image/webp"
        assert max(Image.open(io.BytesIO(answer.content)).size) <= size
        again = mara.get(
            "/v1/assets/espresso-cup/preview", params={"size": size}, headers={"If-None-Match": answer.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
    problem(mara.get("/v1/assets/espresso-cup/preview", params={"size": 100}), 400, "bad-request")
    problem(mara.get("/v1/assets/interview-beekeeper/preview"), 404, "not-found")


def test_a_player_can_jump(mara: httpx.Client) -> None:
    path = "/v1/assets/how-to-taste-coffee/playback"
    whole = mara.get(path)
    assert whole.headers["content-type"] == "video/mp4"
    part = mara.get(path, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == whole.content[100:200]
    assert mara.get(path, headers={"Range": "bytes=-50"}).content == whole.content[-50:]
    assert mara.get(path, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416


def test_the_detail_has_credit_rights_and_words(mara: httpx.Client) -> None:
    view = mara.get("/v1/assets/how-to-taste-coffee", params={"channel": "social", "territory": "DE"}).json()
    assert view["asset"]["rights"]["creditLine"]
    assert view["asset"]["rights"]["licence"] == "creative_commons"
    assert view["clearance"]["cleared"]
    assert view["passages"][0]["start"] < view["passages"][1]["start"]
    photo = mara.get("/v1/assets/espresso-cup").json()["asset"]
    assert photo["creator"]
    assert photo["rights"]["source"]


class TestSignIn:
    def test_people_are_offered_and_become_whom_they_pick(self, demo: Server) -> None:
        with demo.client() as client:
            assert client.get("/v1/session").json()["signedIn"] is False
            assert len(client.get("/v1/demo/people").json()) == 6
            answer = client.post("/v1/demo/sign-in", json={"user": "priya"})
            cookie = answer.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
            assert client.get("/v1/session").json()["roles"] == ["steward"]
            client.post("/v1/demo/sign-out")
            assert client.get("/v1/session").json()["signedIn"] is False

    def test_a_stranger_cannot(self, demo: Server) -> None:
        with demo.client() as client:
            problem(client.post("/v1/demo/sign-in", json={"user": "mallory"}), 404, "not-found")

    @pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer", "Basic bWFyYTp4", "Bearer a.b.c"])
    def test_a_bad_token_is_refused_and_not_taken_for_nobody(self, demo: Server, header: str) -> None:
        with demo.client() as client:
            problem(client.get("/v1/session", headers={"Authorization": header}), 401, "unauthenticated")

    def test_other_sites_cannot_act_through_the_cookie(self, mara: httpx.Client) -> None:
        answer = mara.post("/v1/search", json={}, headers={"Origin": "https://elsewhere.example"})
        problem(answer, 403, "not-cleared")

    def test_another_name_for_this_machine_is_refused(self, demo: Server) -> None:
        for path in ("/", "/ui/app.js", "/v1/session", "/health/live", "/schema/openapi.json"):
            answer = httpx.get(f"{demo.address}{path}", headers={"Host": "rebound.example"})
            assert "rebound.example" in problem(answer, 400, "invalid-input")["detail"], path


def test_answers_bear_the_headers_that_keep_a_browser_safe(demo: Server) -> None:
    for path in ("/", "/ui/app.js", "/v1/session", "/health/live", "/nowhere"):
        headers = httpx.get(demo.address + path).headers
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/ui/../api/auth.py", "/ui/%2e%2e/api/auth.py", "/ui//etc/passwd", "/ui/..%2f..%2fetc/passwd"]
)
def test_only_the_page_is_served_from_the_ui(demo: Server, path: str) -> None:
    assert httpx.get(demo.address + path).status_code == 404


def test_the_page_and_all_that_it_names_are_served(demo: Server) -> None:
    page = httpx.get(demo.address).text
    for file in Path(ui.__file__).parent.iterdir():
        if file.suffix in (".js", ".css", ".svg"):
            assert httpx.get(f"{demo.address}/ui/{file.name}").status_code == 200
            assert file.suffix == ".js" or file.name in page


def test_no_answer_holds_a_vector(mara: httpx.Client) -> None:
    text = mara.post("/v1/search", json={"text": "coffee"}).text + mara.get("/v1/assets/espresso-cup").text
    assert "embedding" not in text.lower()
    assert "vector" not in text.lower()
