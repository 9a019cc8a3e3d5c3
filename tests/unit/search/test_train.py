"""Training: heads learn what there is to learn, what is left out stays out, and curves tell matches from others."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from search.models.loupe_mini import DIMENSION, FEATURES, HEAD, WORDS, LoupeMini, data, packed, train, unpacked

SIZES = {"captioned": 400, "classes": 1000, "drawings": 200}


def looked(name: str, chance: np.random.Generator, towers: np.ndarray) -> train.Looked:
    """Pictures whose features are a linear image of what their texts mean: learnable, and nothing but that."""
    count = SIZES[name]
    meanings = chance.normal(size=(count, WORDS)).astype(np.float32)
    meanings /= np.linalg.norm(meanings, axis=1, keepdims=True)
    features = (meanings @ towers).astype(np.float16)
    return train.Looked(
        np.stack([features, features]),
        np.zeros((2, count, 1000), np.float16),
        np.repeat(meanings, 2, axis=0).astype(np.float16),
        np.repeat(np.tile(meanings, 3), 2, axis=0).astype(np.float16),
        chance.integers(1, 20, 2 * count),
        np.repeat(np.arange(count), 2),
        np.arange(count) < (60 if name != "drawings" else 0),
    )


@pytest.fixture(scope="module")
def small() -> Iterator[pytest.MonkeyPatch]:
    """Training in small: seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "EPOCHS", 6)
        patch.setattr(train, "BATCH", {"captioned": 64, "classes": 32, "drawings": 32})
        patch.setattr(train, "BANK", 40)
        patch.setattr(train, "BACKGROUND", 60)
        yield patch


@pytest.fixture(scope="module")
def sources(small: pytest.MonkeyPatch) -> dict[str, train.Looked]:
    chance = np.random.default_rng(1)
    towers = chance.normal(size=(WORDS, FEATURES)).astype(np.float32)
    return {name: looked(name, chance, towers) for name in SIZES}


@pytest.fixture(scope="module")
def heads(sources: dict[str, train.Looked]) -> dict[str, torch.Tensor]:
    return train.train(sources)


def test_heads_find_left_out_pictures_by_their_captions(
    sources: dict[str, train.Looked], heads: dict[str, torch.Tensor]
) -> None:
    assert heads["projection"].shape == (FEATURES, HEAD)
    assert heads["bank"].shape == (3 * 40, DIMENSION - 1)
    assert heads["background_features"].shape == (60, FEATURES)
    report = train.measure(sources, heads)
    assert report["left_out_photographs"] == report["left_out_classes"] == 60
    assert report["text_to_image_recall"]["at_1"] > 0.5
    assert all(curve["slope"] > 0 for curve in report["curves"].values())


def test_heads_are_kept_in_a_byte_a_number_and_find_alike(
    sources: dict[str, train.Looked], heads: dict[str, torch.Tensor]
) -> None:
    kept = packed(heads)
    assert all(kept[name].dtype == torch.int8 for name, tensor in heads.items() if tensor.ndim > 1)
    again = unpacked(kept)
    assert again.keys() == heads.keys()
    for name, tensor in heads.items():
        bound = tensor.abs().float().amax(-1, keepdim=True) / 126.9 * (0.502 if tensor.ndim > 1 else 0.1)
        assert ((again[name] - tensor.float()).abs() <= bound + 1e-7).all(), name
    before, after = train.measure(sources, heads), train.measure(sources, again)
    assert after["text_to_image_recall"]["at_1"] == pytest.approx(before["text_to_image_recall"]["at_1"], abs=0.02)


def test_a_row_of_nothing_stays_nothing() -> None:
    assert torch.equal(unpacked(packed({"outer": torch.zeros(2, 3)}))["outer"], torch.zeros(2, 3))


def test_the_same_seed_gives_the_same_heads(sources: dict[str, train.Looked], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "EPOCHS", 1)
    first, again, other = (train.train(sources, seed) for seed in (3, 3, 4))
    assert torch.equal(first["projection"], again["projection"])
    assert not torch.equal(first["projection"], other["projection"])


def test_what_is_left_out_is_in_no_batch(sources: dict[str, train.Looked]) -> None:
    kept = {tuple(one.features[0, place]) for one in sources.values() for place in one.kept}
    for features, logits, said in train._batches(sources, 5, seed=0):
        assert {len(features), len(logits), *map(len, said)} == {128}
        assert {tuple(row) for row in features.half().numpy()} <= kept


def test_a_class_means_its_name_and_what_is_said_of_it(
    sources: dict[str, train.Looked], heads: dict[str, torch.Tensor]
) -> None:
    classes = sources["classes"]
    sentences = torch.from_numpy(classes.sentences).float()
    for place in (0, 999):
        own = sentences[torch.from_numpy(np.flatnonzero(classes.text_of == place))]
        told = own[0] + torch.nn.functional.normalize(own.sum(dim=0), dim=0)
        torch.testing.assert_close(heads["class_names"][place], told / told.norm(), atol=1e-5, rtol=0)


def test_in_few_words_the_sentence_counts_more(
    sources: dict[str, train.Looked], heads: dict[str, torch.Tensor]
) -> None:
    model = LoupeMini(torch.nn.Identity(), torch.nn.Identity(), heads)  # type: ignore[arg-type]
    said = sources["captioned"].read(np.arange(4))
    vectors = model.say(said._replace(length=torch.tensor([1, 3, 6, 30])))
    head, sentence = vectors[:, :HEAD].norm(dim=1), vectors[:, HEAD:-1].norm(dim=1)
    torch.testing.assert_close(head, torch.ones(4))
    torch.testing.assert_close(sentence, torch.tensor([2.5, 2.5, 1.75, 1.0]), atol=1e-2, rtol=0)


def test_pictures_near_to_everything_are_held_back(
    sources: dict[str, train.Looked], heads: dict[str, torch.Tensor]
) -> None:
    """Querybank normalisation: of two pictures that see the same, the one nearer to the bank gets less."""
    model = LoupeMini(torch.nn.Identity(), torch.nn.Identity(), heads)  # type: ignore[arg-type]
    one = sources["captioned"]
    features, logits = torch.from_numpy(one.features[:, :1]).float(), torch.from_numpy(one.logits[:, :1]).float()
    before = model.see(features.transpose(0, 1), logits.transpose(0, 1))
    seen = before[:, :-1] / before[:, :-1].norm()
    model.bank = torch.cat([model.bank, seen.repeat(20, 1)])
    after = model.see(features.transpose(0, 1), logits.transpose(0, 1))
    torch.testing.assert_close(before[:, :-1], after[:, :-1])
    assert after[0, -1] < before[0, -1]


def test_a_curve_turns_where_matches_become_likelier() -> None:
    chance = np.random.default_rng(2)
    match = chance.random((200, 200)) < 0.1
    cosines = np.where(match, 0.6, 0.2) + chance.normal(0, 0.1, match.shape)
    curve = train.curve(cosines.astype(np.float32), match)
    assert curve["midpoint"] == pytest.approx(0.4, abs=0.02)
    assert curve["slope"] == pytest.approx(0.4 / 0.1**2, rel=0.1)  # two normal curves, equally wide


def test_things_are_not_compared_with_themselves() -> None:
    cosines = np.eye(50, dtype=np.float32) + 0.1
    match = np.eye(50, dtype=bool)
    match[0, 1] = match[1, 0] = True
    cosines[0, 1] = cosines[1, 0] = 0.5
    assert train.curve(cosines, match, itself=True)["midpoint"] < 0.5


class TestData:
    """The sources, in small."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for place, name in enumerate(("apple_01", "apple_02", "apple_tree_v2_jo_03")):
            path = tmp_path / "png" / "plants" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.new("RGBA", (300 + 40 * place, 200))
            ImageDraw.Draw(picture).ellipse((40, 40, 160, 160), "red")
            picture.save(path)
        svg = tmp_path / "svg" / "plants" / "apple_02.svg"
        svg.parent.mkdir(parents=True)
        svg.write_text(
            "<svg><metadata><dc:title>Red apple &amp; leaf</dc:title><dc:subject><rdf:Bag><rdf:li>fruit</rdf:li>"
            "<rdf:li>hash(0x8a4)</rdf:li></rdf:Bag></dc:subject></metadata></svg>"
        )
        (tmp_path / "credits.json").write_text(json.dumps([{"source_path": "usr/share/svg/plants/apple_01.svg"}]))
        return tmp_path

    def test_drawings_are_told_of_by_title_and_keywords(self, folder: Path) -> None:
        source = data.drawings(folder, folder / "credits.json")
        assert [texts[0] for texts in source.texts] == ["apple", "Red apple & leaf", "apple tree"]
        assert "Red apple & leaf, fruit" in source.texts[1]

    def test_what_is_measured_on_is_left_out(self, folder: Path) -> None:
        assert data.drawings(folder, folder / "credits.json").left_out == {0}

    def test_views_are_the_same_each_time(self, folder: Path) -> None:
        source = data.drawings(folder, folder / "credits.json")
        once, again = (list(data.viewed(source)) for _ in range(2))
        assert all(view.size == (data.SIZE, data.SIZE) for views in once for view in views)
        assert [view.tobytes() for views in once for view in views] == [v.tobytes() for views in again for v in views]

    def test_the_split_does_not_depend_on_the_order(self) -> None:
        names = [f"{n}.jpg" for n in range(50)]
        backwards = names[::-1]
        assert {names[n] for n in data.first_by_hash(names, 9)} == {
            backwards[n] for n in data.first_by_hash(backwards, 9)
        }
