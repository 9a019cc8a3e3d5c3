"""Runtimes: vectors are those of float32 in open_clip's own calls, whatever is cut, converted or chosen."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import faiss
import msgspec
import numpy as np
import open_clip
import pytest
import torch
from open_clip import pretrained
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from torch import Tensor

from search.embedding import Calibration, Curve, Curves, ModelId, Standard
from search.errors import ModelUnavailable
from search.models import runtimes
from search.models.clip import OpenClipEmbedder, load_clip, preprocess_of
from search.models.runtimes import Running, encode_trimmed, fastest_sound, patterns, running
from search.models.store import ModelStore, Pulled

ARCHITECTURE = "loupe-test"
VISION = {"image_size": 48, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
END = 49407
TEXTS = ["a dog", "two children on a beach at sunset, seen from behind", "", "word " * 200, "a <end_of_text> b"]
CURVES = Curves(*[Curve(0.0, 1.0)] * 3)
CALIBRATION = Calibration(*[Standard(Curve(0.0, 1.0), np.eye(2, 64, dtype=np.float32))] * 2)
NOTHING = ModelStore(Path("no-such-folder"))


def clip(kind: type[CLIP] | type[CustomTextCLIP] = CLIP, **text: Any) -> Any:
    torch.manual_seed(0)
    return kind(64, dict(VISION), TEXT | text).eval().requires_grad_(False)


def tokens(texts: Sequence[str] = TEXTS) -> Tensor:
    made: Tensor = open_clip.SimpleTokenizer(context_length=77)(list(texts))
    return made


def transform(cfg: PreprocessCfg | None = None) -> Any:
    return image_transform_v2(cfg or PreprocessCfg(size=48), is_train=False)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return torch.cosine_similarity(a.double(), b.double(), dim=-1)


@pytest.fixture(scope="module")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny architecture that open_clip knows by name."""
    config = tmp_path_factory.mktemp("configs") / f"{ARCHITECTURE}.json"
    config.write_text(json.dumps({"embed_dim": 64, "vision_cfg": VISION, "text_cfg": TEXT}))
    open_clip.add_model_config(config)
    return ARCHITECTURE


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.pt"
    torch.save(clip().state_dict(), path)
    return path


class TestTextsAreCut:
    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            (CLIP, {}),
            (CLIP, {"pool_type": "eos", "eos_id": END}),
            (CLIP, {"proj_bias": True}),
            (CLIP, {"block_type": "custom", "qk_norm": True}),
            (CustomTextCLIP, {}),
            (CustomTextCLIP, {"pool_type": "eos", "eos_id": END}),
        ],
    )
    @pytest.mark.parametrize("texts", [TEXTS[:1], TEXTS[:3], TEXTS])
    def test_where_that_is_exact(self, kind: Any, text: dict[str, Any], texts: Sequence[str]) -> None:
        model = clip(kind, **text)
        given = tokens(texts)
        with torch.inference_mode():
            whole = model.encode_text(given)
            with seen_lengths(model) as lengths:
                cut = encode_trimmed(model, given)
        assert cosines(whole, cut).min() >= 1 - 1e-6
        assert lengths == [int(given.argmax(dim=-1).max()) + 1]

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            (CLIP, {"no_causal_mask": True, "pool_type": "last"}),
            (CustomTextCLIP, {"no_causal_mask": True, "pool_type": "last"}),
            (CustomTextCLIP, {"no_causal_mask": True}),
            (CustomTextCLIP, {"pool_type": "last"}),
            (CustomTextCLIP, {"embed_cls": True}),
        ],
    )
    def test_and_nowhere_else(self, kind: Any, text: dict[str, Any]) -> None:
        model = clip(kind, **text)
        with torch.inference_mode(), seen_lengths(model) as lengths:
            torch.testing.assert_close(encode_trimmed(model, tokens()), model.encode_text(tokens()), rtol=0, atol=0)
        assert lengths == [77, 77]

    def test_the_model_stays_whole(self) -> None:
        model = clip()
        with torch.inference_mode():
            before = model.encode_text(tokens())
            encode_trimmed(model, tokens(["a dog"]))
            torch.testing.assert_close(model.encode_text(tokens()), before, rtol=0, atol=0)
        assert model.positional_embedding.shape[0] == 77


class seen_lengths:  # noqa: N801 - a context manager
    """Notes how many tokens each call of the text tower embeds."""

    def __init__(self, model: Any) -> None:
        self._embedding = getattr(model, "text", model).token_embedding

    def __enter__(self) -> list[int]:
        lengths: list[int] = []
        self._hook = self._embedding.register_forward_hook(lambda _, given, __: lengths.append(given[0].shape[1]))
        return lengths

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


class TestChoice:
    @pytest.mark.parametrize("text", [{}, {"no_causal_mask": True, "pool_type": "last"}, {"block_type": "custom"}])
    def test_bfloat16_keeps_the_vectors(self, text: dict[str, Any]) -> None:
        model = clip(CustomTextCLIP, **text)
        half = Running(model, "bfloat16")
        pixels = torch.stack([transform()(one) for one in patterns()])
        with torch.inference_mode():
            seen, said = half.encode_image(pixels), half.encode_text(tokens())
            assert seen.dtype == said.dtype == torch.float32
            assert cosines(model.encode_image(pixels), seen).min() >= runtimes.SOUND
            assert cosines(model.encode_text(tokens()), said).min() >= runtimes.SOUND
        assert model.visual.conv1.weight.dtype == torch.float32

    def test_another_model_s_vectors_are_refused(self) -> None:
        model, other = clip(), clip(CustomTextCLIP, layers=3)
        pixels = torch.stack([transform()(one) for one in patterns()])
        candidates = [Running(model, "float32"), Running(other, "bfloat16")]
        assert fastest_sound(candidates, pixels, tokens()) is candidates[0]
        with pytest.raises(ModelUnavailable, match="bfloat16") as raised:
            fastest_sound(candidates, pixels, tokens(), demanded=True)
        assert raised.value.remedy

    def test_vectors_that_are_no_numbers_are_refused(self) -> None:
        model, broken = clip(), clip()
        broken.ln_final.weight.fill_(float("nan"))
        pixels = torch.stack([transform()(one) for one in patterns()])
        candidates = [Running(model, "float32"), Running(broken, "bfloat16")]
        assert fastest_sound(candidates, pixels, tokens()) is candidates[0]

    def test_what_does_not_run_is_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        model = clip()
        other = CLIP(64, VISION | {"image_size": 64}, dict(TEXT)).eval()
        pixels = torch.stack([transform()(one) for one in patterns()])
        candidates = [Running(model, "float32"), Running(other, "bfloat16")]
        assert fastest_sound(candidates, pixels, tokens()) is candidates[0]
        assert "does not run in bfloat16" in caplog.text

    def test_the_quicker_of_two_sound_ones_is_taken(self) -> None:
        class Slow(Running):
            def encode_image(self, pixels: Tensor) -> Tensor:
                return [super(Slow, self).encode_image(pixels) for _ in range(50)][-1]

        model = clip()
        quick, slow = Running(model, "float32"), Slow(model, "float32")
        pixels = torch.stack([transform()(one) for one in patterns()])
        assert fastest_sound([slow, quick], pixels, tokens()) is quick
        assert fastest_sound([quick, slow], pixels, tokens()) is quick

    def test_a_demanded_way_is_taken_whatever_its_speed(self) -> None:
        tokenizer = open_clip.SimpleTokenizer(context_length=77)
        assert running(clip(), transform(), tokenizer, "bfloat16").runtime == "bfloat16"
        assert running(clip(), transform(), tokenizer, "float32").runtime == "float32"
        assert running(clip(), transform(), tokenizer).runtime in runtimes.available()

    def test_patterns_are_always_the_same_and_all_different(self) -> None:
        once, again = ([one.tobytes() for one in patterns()] for _ in range(2))
        assert once == again
        assert len(set(once)) == 4


class TestEmbedding:
    def test_pictures_have_every_processor(self) -> None:
        """Held to one thread for FAISS, the main thread leaves the model to one that is not."""

        class Counting(Running):
            def encode_image(self, pixels: Tensor) -> Tensor:
                counts.append(torch.get_num_threads())
                return super().encode_image(pixels)

        counts: list[int] = []
        faiss.omp_set_num_threads(1)
        embedder = of(Counting(clip(), "float32"))
        assert embedder.embed_images(list(patterns()) * 5).shape == (20, 64)
        with ThreadPoolExecutor(1) as pool:
            assert counts == 3 * [pool.submit(torch.get_num_threads).result()]

    def test_what_goes_wrong_with_a_picture_is_raised(self) -> None:
        def pictures() -> Iterator[Image.Image]:
            yield from list(patterns()) * 3
            raise OSError("torn")

        with pytest.raises(OSError, match="torn"):
            of(Running(clip(), "float32")).embed_images(pictures())

    def test_what_goes_wrong_in_the_model_is_raised(self) -> None:
        with pytest.raises(RuntimeError):
            of(Running(clip(), "float32"), PreprocessCfg(size=64)).embed_images(patterns())


def of(model: Running, cfg: PreprocessCfg | None = None) -> OpenClipEmbedder:
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    return OpenClipEmbedder(model, transform(cfg), tokenizer, ModelId(ARCHITECTURE, "0", "", 64), CALIBRATION)


class TestLoading:
    def test_the_runtime_changes_neither_id_nor_vectors(self, architecture: str, checkpoint: Path) -> None:
        whole, half = (
            load_clip(f"{architecture}/{checkpoint}", CURVES, NOTHING, way) for way in ("float32", "bfloat16")
        )
        assert whole.model_id == half.model_id
        pictures = list(patterns())
        seen = (whole.embed_images(pictures) * half.embed_images(pictures)).sum(axis=1)
        said = (whole.embed_texts(TEXTS) * half.embed_texts(TEXTS)).sum(axis=1)
        assert min(seen.min(), said.min()) >= runtimes.SOUND

    @pytest.mark.parametrize(
        ("resize_mode", "interpolation", "mean"),
        list(product(("shortest", "longest", "squash"), ("bicubic", "bilinear", "random"), ((0.5, 0.5, 0.5), None))),
    )
    def test_vectors_are_open_clip_s_own_for_every_preprocessing(
        self, architecture: str, checkpoint: Path, resize_mode: str, interpolation: str, mean: tuple[float, ...] | None
    ) -> None:
        prepared = {"image_resize_mode": resize_mode, "image_interpolation": interpolation, "image_mean": mean}
        model, way = open_clip.create_model_from_pretrained(architecture, pretrained=str(checkpoint), **prepared)
        embedder = OpenClipEmbedder(
            running(model.eval(), way, open_clip.get_tokenizer(architecture), "float32"),
            way,
            open_clip.get_tokenizer(architecture),
            ModelId(architecture, "0", str(way), 64),
            CALIBRATION,
        )
        pictures = pictures_of_all_shapes()
        with torch.inference_mode():
            pixels = torch.stack([way(one) for one in pictures])
            np.testing.assert_allclose(
                embedder.embed_images(pictures), model.encode_image(pixels, normalize=True).numpy(), atol=1e-6
            )
            np.testing.assert_allclose(
                embedder.embed_texts(TEXTS), model.encode_text(tokens(), normalize=True).numpy(), atol=1e-6
            )

    @pytest.mark.parametrize("size", [32, 64])
    @pytest.mark.parametrize("quick_gelu", [False, True])
    def test_a_tag_brings_its_own_preprocessing(
        self,
        architecture: str,
        checkpoint: Path,
        size: int,
        quick_gelu: bool,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A tag of open_clip's registry whose weights are had from a file, as published ones are from the net."""
        published = {
            "hf_hub": "somebody/something/",
            "mean": (0.5, 0.4, 0.3),
            "std": (0.5, 0.5, 0.5),
            "interpolation": "bilinear",
            "resize_mode": "squash",
            "quick_gelu": quick_gelu,
        }
        monkeypatch.setitem(pretrained._PRETRAINED, architecture, {"published": published})
        name = f"{architecture}/published"
        embedder = load_clip(name, CURVES, stored(tmp_path, name, checkpoint), "float32")
        model, way = open_clip.create_model_from_pretrained(
            architecture, pretrained=str(checkpoint), **preprocess_of(architecture, "published")
        )
        cfg = PreprocessCfg(48, mean=(0.5, 0.4, 0.3), std=(0.5,) * 3, interpolation="bilinear", resize_mode="squash")
        assert str(way) == str(transform(cfg)) == embedder.model_id.preprocessing
        own = CLIP(64, dict(VISION), dict(TEXT), quick_gelu=quick_gelu).eval()
        own.load_state_dict(clip().state_dict())
        pictures = pictures_of_all_shapes(size)
        with torch.inference_mode():
            expected = own.encode_image(torch.stack([transform(cfg)(one) for one in pictures]), normalize=True)
            again = model.eval().encode_image(torch.stack([way(one) for one in pictures]), normalize=True)
        np.testing.assert_allclose(embedder.embed_images(pictures), expected.numpy(), atol=1e-6)
        np.testing.assert_allclose(again.numpy(), expected.numpy(), atol=1e-6)

    def test_every_published_tag_is_prepared_as_open_clip_does(self) -> None:
        for name, tag in open_clip.list_pretrained():
            known = open_clip.get_pretrained_cfg(name, tag)
            given = {key.removeprefix("image_"): value for key, value in preprocess_of(name, tag).items()}
            default = asdict(PreprocessCfg())
            assert merge_preprocess_dict(default, given) == merge_preprocess_dict(default, known), (name, tag)
            assert given["force_quick_gelu"] == known.get("quick_gelu", False)
        assert preprocess_of("ViT-B-16-SigLIP", "webli")["image_resize_mode"] == "squash"
        assert preprocess_of("ViT-B-32", "no-such-tag") == {}


def stored(directory: Path, name: str, checkpoint: Path) -> ModelStore:
    """A store as pulling leaves it (see test_store.py for the pulling itself)."""
    folder = directory / name.replace("/", "--")
    folder.mkdir()
    data = checkpoint.read_bytes()
    (folder / checkpoint.name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    one = Pulled(name, "somebody/something", "0" * 40, checkpoint.name, sha256, len(data), "mit", datetime.now(UTC))
    (folder / "model.json").write_bytes(msgspec.json.encode(one))
    return ModelStore(directory)


def pictures_of_all_shapes(size: int = 64) -> list[Image.Image]:
    soft, edges, rings, grain = patterns()
    return [soft, edges.resize((size, 3 * size)), rings.resize((2 * size, size)), grain.crop((0, 0, 20, 200))]
