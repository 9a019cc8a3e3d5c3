"""What is embedded of an asset's metadata: a sentence and its keywords, seen as the sentence."""

import numpy as np
from pyroaring import BitMap

from search.catalog import Catalog
from search.corpus import CatalogSource, description_text, embed_segments, shown_text
from search.embedding import Models
from search.engine import Space
from search.types import Segment, SegmentKind
from tests.conftest import MakeIntake


def description(text: str) -> Segment:
    return Segment(0, 0, SegmentKind.description, "key", text)


def test_a_description_is_a_sentence_and_its_keywords() -> None:
    text = description_text("Waves.", "A storm\nat  sea.", ("coast", "surf"))
    assert text == "Waves. A storm at sea. coast, surf.\ncoast, surf."
    assert shown_text(description(text)) == "Waves. A storm at sea. coast, surf."


def test_nothing_is_said_twice() -> None:
    assert description_text("", "", ("coast", "surf")) == "coast, surf."
    assert description_text("Waves", "", ()) == "Waves."
    assert description_text("", "", ()) == ""


def test_a_passage_is_shown_and_embedded_as_it_stands(models: Models) -> None:
    passage = Segment(0, 0, SegmentKind.passage, "key", "first line\nsecond line")
    assert shown_text(passage) == passage.text
    expected = models.text.embed_passages([[passage.text]])
    np.testing.assert_allclose(embed_segments(models.text, [passage]), expected, atol=1e-6)


def test_a_description_lies_between_its_lines(models: Models) -> None:
    lines = "A storm at sea throws spray over the pier.", "coast, surf."
    text = models.text
    whole, first, second = (text.embed_passages([parts])[0, :-1] for parts in (list(lines), [lines[0]], [lines[1]]))
    whole, first, second = (one / np.linalg.norm(one) for one in (whole, first, second))
    assert whole @ first > first @ second < whole @ second
    both = embed_segments(text, [description("\n".join(lines)), description(lines[1])])
    alone = embed_segments(text, [description("\n".join(lines))])
    np.testing.assert_allclose(both[0], alone[0], atol=1e-5)


def test_what_is_like_everything_is_held_back(models: Models) -> None:
    """The last number of a passage's vector is what its nearness to the bank takes off, and a query's weighs it."""
    reader = models.text
    common, odd = reader.embed_passages([["a photo of a dog"], ["clause seven of the deed of partnership"]])
    assert common[-1] < odd[-1] < 0 < reader.embed_texts(["dog"])[0, -1]


def test_what_says_the_like_is_asked_for_as_a_query_is(models: Models) -> None:
    """A passage's nearness is taken off what is found by it, not off itself."""
    reader = models.text
    said = ["The hive is opened in spring.", "Honey is taken in late summer.", "Our quarterly revenue rose."]
    told = reader.embed_passages([[text] for text in said])
    np.testing.assert_allclose(reader.more_like(told[:1]), reader.embed_texts(said[:1])[0], atol=1e-5)
    cosines = told @ reader.more_like(told[:2])
    assert cosines.argmin() == 2


def test_none_gives_none(models: Models) -> None:
    assert embed_segments(models.text, []).shape == (0, models.text.model_id.dimension)


def test_what_is_read_of_some_assets_is_what_is_read_of_them_with_all(
    catalog: Catalog, make_intake: MakeIntake
) -> None:
    passage = Segment(0, 0, SegmentKind.passage, "said", "a storm at sea")
    for name in ("one", "two", "three"):
        picture = Segment(0, 0, SegmentKind.image, f"hash-{name}")
        catalog.take_in([make_intake(name, segments=(picture, passage))], by="test")
        catalog.put_embeddings("seen", {f"hash-{name}": np.full(3, len(name), np.float32)})
    catalog.mark_vanished(["/library/three.jpg"])
    ordinals = {name: asset.ordinal for name in ("one", "two") if (asset := catalog.asset(name))}
    source = CatalogSource(catalog, {Space.visual: "seen"})
    head, changed = source.changed_since(0)
    assert (head, len(changed)) == (catalog.head(), 3)
    whole, part = source.corpus(), source.corpus(BitMap([ordinals["two"], ordinals["two"] + 1, 999]))
    assert [document for document in whole.documents if document.asset == ordinals["two"]] == list(part.documents)
    assert part.spaces[Space.visual].assets.tolist() == [ordinals["two"]]
    assert part.spaces[Space.visual].rows[np.array([0])].tolist() == [[3, 3, 3]]
    assert source.corpus(BitMap()).spaces == {}
