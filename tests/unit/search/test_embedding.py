"""Embedders: unit vectors in order, equal to what the libraries themselves give, and weights that are checked."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from api.demo import LIBRARY
from search.embedding import Curve, Curves, Models, Standard
from search.errors import ModelUnavailable
from search.models import loupe_mini
from search.models.loading import load_models

PICTURES = [
    Image.open(LIBRARY / f"photos/{name}.jpg").convert("RGB")
    for name in ("espresso-cup", "scarlet-macaw", "eiffel-tower")
]
TEXTS = ["a cup of coffee", "a colourful parrot", "a tower in Paris"]


def test_vectors_are_of_length_one_and_in_order(models: Models) -> None:
    seen, said = models.visual.embed_images(PICTURES), models.visual.embed_texts(TEXTS)
    assert seen.shape == said.shape == (3, models.visual.model_id.dimension)
    assert seen.dtype == said.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([seen, said]), axis=1), 1, atol=1e-5)
    assert (said @ seen.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_none_gives_none(models: Models) -> None:
    for vectors in (models.visual.embed_images([]), models.visual.embed_texts([])):
        assert vectors.shape == (0, models.visual.model_id.dimension)
    assert models.text.embed_texts([]).shape == (0, models.text.model_id.dimension)


def test_batches_change_nothing(models: Models) -> None:
    many = models.visual.embed_images(PICTURES * 7)
    np.testing.assert_allclose(many, np.tile(models.visual.embed_images(PICTURES), (7, 1)), atol=1e-5)
    texts = [f"{text} {i}" for i in range(30) for text in TEXTS]
    alone = np.concatenate([models.text.embed_texts([text]) for text in texts[:5]])
    np.testing.assert_allclose(models.text.embed_texts(texts)[:5], alone, atol=1e-5)


def test_pictures_of_any_kind_are_taken(models: Models) -> None:
    odd = [Image.new("L", (1, 900), 128), Image.new("RGBA", (900, 2)), Image.new("P", (33, 33))]
    assert np.isfinite(models.visual.embed_images(odd)).all()


def test_what_stands_on_a_flat_ground_is_seen_whole() -> None:
    """The middle of a bottle would be its label."""
    bottle = Image.new("RGB", (60, 300), "white")
    bottle.paste("red", (20, 10, 40, 290))
    framed = loupe_mini.squared(bottle)
    assert framed.size == (300, 300)
    assert framed.getpixel((5, 5)) == (255, 255, 255)
    assert framed.crop((120, 0, 180, 300)).tobytes() == bottle.tobytes()
    green = loupe_mini.transform()(bottle)[1][1]
    assert 10 < (green < 0).any(dim=0).sum() < 30, "red is as narrow as the bottle, and white beside it"


@pytest.mark.parametrize("picture", PICTURES)
def test_other_pictures_stay_as_they_are(picture: Image.Image) -> None:
    assert loupe_mini.squared(picture) is picture


def test_one_reading_of_a_query_serves_pictures_and_passages(models: Models) -> None:
    for text in TEXTS:
        for_pictures, for_words = models.read(text)
        np.testing.assert_allclose(for_pictures, models.visual.embed_texts([text])[0], atol=1e-5)
        np.testing.assert_allclose(for_words, models.text.embed_texts([text])[0], atol=1e-5)


def test_long_and_odd_texts_are_cut_not_refused(models: Models) -> None:
    assert np.isfinite(models.text.embed_texts(["word " * 5000, "", "🐦" * 300, "\n"])).all()


def test_evidence_turns_at_the_midpoint() -> None:
    curve = Curve(midpoint=0.3, slope=10)
    assert curve.evidence(0.3) == 0
    assert curve.evidence(0.4) == pytest.approx(1.0)
    assert curve.evidence(0.2) == pytest.approx(-1.0)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class TestStandard:
    """A cosine is judged against those that the query has with a background."""

    chance = np.random.default_rng(5)
    background = unit(chance.normal(size=(300, 64)))

    def test_a_cosine_counts_by_how_far_it_stands_out(self) -> None:
        query = unit(self.chance.normal(size=(1, 64)))[0]
        cosines = self.background @ query
        judged = Standard(Curve(midpoint=2.0, slope=3.0), self.background).of(query)
        above = float(cosines.mean()) + 4.0 * float(cosines.std())
        assert judged.evidence(above) == pytest.approx(3.0 * 2.0, rel=0.05)
        assert judged.evidence(float(cosines.mean())) == pytest.approx(-3.0 * 2.0, rel=0.05)

    def test_a_query_that_is_like_everything_has_to_show_more(self) -> None:
        middle = self.background.mean(axis=0)
        common, rare = unit(np.stack([self.background[0] + 40 * middle, self.background[0]]))
        standard = Standard(Curve(2.0, 3.0), self.background)
        assert standard.of(common).midpoint > standard.of(rare).midpoint

    def test_even_likeness_is_no_evidence_for_anything(self) -> None:
        """No spread at all: the judgement stays finite."""
        same = np.repeat(self.background[:1], 5, axis=0)
        assert np.isfinite(Standard(Curve(2.0, 3.0), same).of(self.background[0]).evidence(1.0))

    def test_queries_of_a_model_are_held_to_its_own_background(self, models: Models) -> None:
        for text in ("a dog on a beach", "qwxzjv plorth"):
            curve = models.visual.calibration.text_image.of(models.read(text)[0])
            assert curve.slope > 0
            assert -1 < curve.midpoint < 1


def test_the_report_bears_the_figures_of_the_card() -> None:
    """The card's figures are those that training wrote."""
    report = json.loads(loupe_mini.REPORT.read_bytes())
    card = loupe_mini.REPORT.with_name("MODEL_CARD.md").read_text()
    for share in (*report["text_to_image_recall"].values(), *report["zero_shot"].values()):
        assert f"{100 * share:.1f}" in card
    assert msgspec.convert(report["curves"], Curves).text_image.slope > 0


def test_weights_that_are_not_the_known_ones_are_refused() -> None:
    distribution, name, sha256 = loupe_mini.TEXT
    with pytest.raises(ModelUnavailable, match="sha256"):
        loupe_mini.weights(distribution, name, "0" * 64)
    with pytest.raises(ModelUnavailable, match="not installed"):
        loupe_mini.weights("no-such-distribution", name, sha256)


def test_ids_are_short_and_tell_models_apart(models: Models) -> None:
    seen, said = models.visual.model_id, models.text.model_id
    assert str(seen).startswith("loupe-mini@")
    assert len({str(seen), str(said), str(msgspec.structs.replace(seen, weights="0"))}) == 3


ARCHITECTURE = "ViT-S-32-alt"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "small.pt"
    torch.save(open_clip.create_model(ARCHITECTURE).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> Models:
    return load_models(f"{ARCHITECTURE}/{checkpoint}", runtime="float32")


class TestOpenClip:
    """A small model of open_clip with random weights, saved and loaded as a checkpoint: no hub is needed."""

    def test_embeddings_are_open_clip_s_own(self, loaded: Models, checkpoint: Path) -> None:
        model, transform = open_clip.create_model_from_pretrained("ViT-S-32-alt", pretrained=str(checkpoint))
        tokenize: Callable[[Sequence[str]], torch.Tensor] = open_clip.get_tokenizer("ViT-S-32-alt")
        model.eval()
        with torch.inference_mode():
            seen = model.encode_image(torch.stack([transform(one) for one in PICTURES]), normalize=True).numpy()
            said = model.encode_text(tokenize(TEXTS), normalize=True).numpy()
        np.testing.assert_allclose(loaded.visual.embed_images(PICTURES), seen, atol=1e-5)
        np.testing.assert_allclose(loaded.visual.embed_texts(TEXTS), said, atol=1e-5)

    def test_it_has_a_space_of_its_own(self, loaded: Models) -> None:
        assert loaded.visual.model_id.dimension == 256
        for_pictures, for_words = loaded.read(TEXTS[0])
        np.testing.assert_allclose(for_pictures, loaded.visual.embed_texts(TEXTS[:1])[0], atol=1e-5)
        np.testing.assert_allclose(for_words, loaded.text.embed_texts(TEXTS[:1])[0], atol=1e-5)

    def test_its_cosines_are_held_to_a_background_that_ships(self, loaded: Models) -> None:
        assert loaded.visual.calibration.text_image.background.shape == (64, 256)

    @pytest.mark.parametrize("name", ["text.pt", "empty.pt", "text.safetensors", "list.pt", "other.pt"])
    def test_a_file_without_its_weights_is_refused_by_name(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        made: dict[str, object] = {"list.pt": [1], "other.pt": {"weight": torch.zeros(2)}}
        if name in made:
            torch.save(made[name], path)
        else:
            path.write_text("" if name == "empty.pt" else "no weights")
        with pytest.raises(ModelUnavailable) as raised:
            load_models(f"{ARCHITECTURE}/{path}")
        assert name in str(raised.value)
        assert "weights_only" not in str(raised.value)
        assert raised.value.remedy

    @pytest.mark.parametrize(
        "name", ["no-such-model", "ViT-S-32-alt", "ViT-S-32-alt/", "ViT-S-32-alt/no-such-tag", "x/y"]
    )
    def test_what_cannot_be_had_is_said_with_a_remedy(self, name: str) -> None:
        with pytest.raises(ModelUnavailable) as raised:
            load_models(name)
        assert raised.value.remedy
