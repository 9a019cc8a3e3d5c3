"""Training: heads learn what there is to learn, what is held out stays out, and curves tell matches from others."""

import numpy as np
import pytest
import torch

from search.models.loupe_mini import CLASSES, DIMENSION, FEATURES, train


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> train.Data:
    """Pictures whose features are a linear image of what their captions mean: learnable, and nothing but that."""
    monkeypatch.setattr(train, "EPOCHS", 6)
    monkeypatch.setattr(train, "BATCH", 96)
    chance = np.random.default_rng(1)
    captioned, classes = 400, CLASSES

    def directions(count: int) -> np.ndarray:
        vectors = chance.normal(size=(count, DIMENSION)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    meanings = directions(captioned + classes)
    seen = meanings @ chance.normal(size=(DIMENSION, FEATURES)).astype(np.float32)
    return train.Data(
        {
            "seen": np.stack([seen, seen]),
            "logits": np.zeros((2, captioned + classes, CLASSES), np.float32),
            "captions": np.repeat(meanings[:captioned], 2, axis=0),
            "caption_of": np.repeat(np.arange(captioned), 2),
            "prompts": np.stack([meanings[captioned:]] * len(train.PROMPTS)),
            "held_out": np.arange(captioned) < 60,
        }
    )


def test_heads_find_held_out_pictures_by_their_captions(data: train.Data) -> None:
    torch.manual_seed(0)
    heads = train.train(data)
    assert {name: tuple(tensor.shape) for name, tensor in heads.items()} == {
        "mean": (FEATURES,),
        "deviation": (FEATURES,),
        "projection": (FEATURES, DIMENSION),
        "class_vectors": (CLASSES, DIMENSION),
    }
    report = train.measure(data, heads)
    assert report["held_out_photographs"] == 60
    assert report["text_to_image_recall"]["at_1"] > 0.5
    assert report["calibration"]["text_image"]["slope"] > 0


def test_held_out_captions_are_in_no_batch(data: train.Data) -> None:
    for _, pictures, texts, same in train._batches(data):
        captioned = pictures[pictures < data.captioned].numpy()
        assert not data.held_out[captioned].any()
        assert len(pictures) == len(texts) == len(same)
        assert same.diagonal().all()


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
