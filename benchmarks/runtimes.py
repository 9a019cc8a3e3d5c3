"""How models run: `python -m benchmarks.runtimes [--architecture NAME] [--eight-bits] [--rounds N] [--json FILE]`.

Each tower in each way in turn, in one run, so that ratios to float32 compare: an open_clip model with random weights,
for speed; and loupe-mini, whose weights are trained, for what a way does to vectors. Random weights make light of that.

Cosines are those to float32, over the sample library's photographs, or the sample queries and the photographs' titles.
`nearest` is the share of each one's ten nearest others that stay the ten nearest. A text of 77 tokens costs what every
text would if padding were not cut. `--eight-bits` adds ONNX Runtime's dynamic quantisation of one tower of each model;
it takes minutes and wants onnx, onnxruntime and onnxscript, which Loupe itself does not.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import click
import msgspec
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.libraries import PHOTOS, asked, credited
from benchmarks.measures import COUNT
from search.models import loupe_mini
from search.models.runtimes import Running

BATCH: Final = 8
NEAREST: Final = 10

#: One tower run in one way: pixels or token ids to vectors [n, d].
Tower = Callable[[Tensor], Tensor]


class Case(msgspec.Struct, frozen=True):
    """A tower, the ways to run it (float32 first), what is timed, and what its vectors are compared on."""

    model: str
    what: str
    ways: Mapping[str, Tower]
    timed: Tensor
    compared: Tensor


class Row(msgspec.Struct, frozen=True):
    """The figures of one tower run in one way. `times_as_fast` is the ratio to float32."""

    model: str
    what: str
    way: str
    milliseconds: float
    times_as_fast: float
    cosine_min: float
    cosine_mean: float
    nearest: float


@click.command()
@click.option("--architecture", default="ViT-B-32", show_default=True, help="A model of open_clip.")
@click.option("--eight-bits", is_flag=True, help="Add 8-bit weights (ONNX Runtime).")
@click.option(
    "--rounds",
    type=COUNT,
    default=7,
    show_default=True,
    help="How often each is timed, after once that does not count.",
)
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(architecture: str, eight_bits: bool, rounds: int, as_json: Path | None) -> None:
    """Measure the ways to run a model."""
    cases = [*of_open_clip(architecture, eight_bits), *of_loupe_mini(eight_bits)]
    with torch.inference_mode():
        rows = [row for case in cases for row in measure(case, rounds)]
    table = Table(title=f"{torch.get_num_threads()} threads, medians of {rounds} rounds", title_justify="left")
    for name in ("model", "what", "way"):
        table.add_column(name)
    for name in ("ms", "times as fast", "cosine, smallest", "mean", "nearest"):
        table.add_column(name, justify="right")
    for row in rows:
        closeness = (f"{row.cosine_min:.5f}", f"{row.cosine_mean:.5f}", f"{row.nearest:.3f}")
        table.add_row(row.model, row.what, row.way, f"{row.milliseconds:.1f}", f"{row.times_as_fast:.2f}", *closeness)
    Console().print(table)
    if as_json:
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")


def of_open_clip(architecture: str, eight_bits: bool) -> Iterator[Case]:
    """Both towers with random weights."""
    torch.manual_seed(0)
    model = open_clip.create_model(architecture, pretrained_text=False).eval().requires_grad_(False)
    tokenizer = open_clip.get_tokenizer(architecture)
    cfg = PreprocessCfg(**model.visual.preprocess_cfg)
    pixels = photographs(image_transform_v2(cfg, is_train=False))
    ways = {name: Running(model, name) for name in ("float32", "bfloat16")}
    seeing: dict[str, Tower] = {name: way.encode_image for name, way in ways.items()}
    if eight_bits:
        seeing["8 bits"] = quantised(model.visual, pixels[:BATCH], {0: "n"}, per_channel=True)
    reading: dict[str, Tower] = {name: way.encode_text for name, way in ways.items()}
    name = f"{architecture}, random"
    yield Case(name, f"{BATCH} pictures", seeing, pixels[:BATCH], pixels)
    tokens = tokenizer(texts())
    yield Case(name, "1 text", reading, tokens[:1], tokens)
    yield Case(name, f"1 text of {tokens.shape[1]} tokens", reading, tokenizer(["word " * tokens.shape[1]]), tokens)


def of_loupe_mini(eight_bits: bool) -> Iterator[Case]:
    """Both towers with trained weights."""
    model = loupe_mini.load()
    tokens = loupe_mini.tokenizer(model.text)(texts())
    pixels = photographs(loupe_mini.transform())
    ways = {name: Running(model, name) for name in ("float32", "bfloat16")}
    reading: dict[str, Tower] = {name: way.encode_text for name, way in ways.items()}
    if eight_bits:
        for name, per_channel in (("8 bits a channel", True), ("8 bits", False)):
            hidden = quantised(Hidden(model.text), tokens[:4], {0: "n", 1: "l"}, per_channel=per_channel)
            reading[name] = _pooled(hidden)
    one = tokens[:1, : int((tokens[0] != 0).sum())]
    yield Case(
        "loupe-mini, trained", f"{BATCH} pictures", {k: w.encode_image for k, w in ways.items()}, pixels[:8], pixels
    )
    yield Case("loupe-mini, trained", "1 text", reading, one, tokens)


class Hidden(nn.Module):
    """The transformer of a sentence model, before pooling: token ids [n, l] to [n, l, d]."""

    def __init__(self, sentences: Any) -> None:
        super().__init__()
        self.transformer = sentences[0].auto_model

    def forward(self, ids: Tensor) -> Tensor:
        states: Tensor = self.transformer(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
        return states


def _pooled(hidden: Tower) -> Tower:
    def mean(ids: Tensor) -> Tensor:
        kept = (ids != 0).unsqueeze(-1)
        return (hidden(ids) * kept).sum(dim=1) / kept.sum(dim=1)

    return mean


def photographs(transform: Callable[[Image.Image], Tensor]) -> Tensor:
    """The sample library's, prepared: [n, 3, height, width]."""
    return torch.stack([transform(Image.open(path).convert("RGB")) for path in sorted(PHOTOS.glob("*.jpg"))])


def texts() -> Sequence[str]:
    """The sample queries and the photographs' titles."""
    queries = [one.text for one in asked("sample")]
    return queries + [one["title"] for one in credited()]


def quantised(tower: nn.Module, sample: Tensor, free: dict[int, str], *, per_channel: bool) -> Tower:
    """The tower in ONNX Runtime, matrices in 8 bits, activations quantised as they come. `free` names open axes."""
    try:
        runtime, quantization = import_module("onnxruntime"), import_module("onnxruntime.quantization")
        import_module("onnxscript")
    except ImportError as error:
        raise SystemExit(f"--eight-bits: install onnx, onnxruntime and onnxscript ({error}).") from error
    shapes = ({axis: torch.export.Dim(name, min=1, max=512) for axis, name in free.items()},)
    with tempfile.TemporaryDirectory(prefix="loupe-runtimes-") as scratch:
        whole, small = (str(Path(scratch) / name) for name in ("whole.onnx", "small.onnx"))
        names: dict[str, Any] = {"input_names": ["given"], "output_names": ["vectors"]}
        torch.onnx.export(tower, (sample,), whole, dynamo=True, dynamic_shapes=shapes, verbose=False, **names)
        quantization.quantize_dynamic(
            whole, small, weight_type=quantization.QuantType.QInt8, per_channel=per_channel,
            op_types_to_quantize=["MatMul", "Gemm"],
        )  # fmt: skip
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = runtime.InferenceSession(small, options, providers=["CPUExecutionProvider"])
    return lambda given: torch.from_numpy(session.run(None, {"given": given.numpy()})[0])


def measure(case: Case, rounds: int) -> Iterator[Row]:
    """Every way in turn, round after round."""
    taken: dict[str, list[float]] = {name: [] for name in case.ways}
    for _ in range(rounds + 1):
        for name, tower in case.ways.items():
            start = perf_counter()
            tower(case.timed)
            taken[name].append(1000 * (perf_counter() - start))
    medians = {name: statistics.median(each[1:]) for name, each in taken.items()}
    reference: Tensor | None = None
    for name, tower in case.ways.items():
        parts = [functional.normalize(tower(part), dim=-1) for part in torch.split(case.compared, BATCH)]
        vectors = torch.cat(parts)
        reference = vectors if reference is None else reference
        cosines = (vectors.double() * reference.double()).sum(dim=-1)
        yield Row(
            model=case.model,
            what=case.what,
            way=name,
            milliseconds=round(medians[name], 2),
            times_as_fast=round(medians["float32"] / medians[name], 3),
            cosine_min=round(float(cosines.min()), 6),
            cosine_mean=round(float(cosines.mean()), 6),
            nearest=round(_agreement(reference, vectors), 4),
        )


def _agreement(reference: Tensor, vectors: Tensor) -> float:
    expected, found = _nearest(reference), _nearest(vectors)
    same = (expected.unsqueeze(2) == found.unsqueeze(1)).any(dim=2)
    return float(same.float().mean())


def _nearest(vectors: Tensor) -> Tensor:
    similar = (vectors @ vectors.T).fill_diagonal_(-2)
    return similar.topk(NEAREST, dim=1).indices


if __name__ == "__main__":
    main()
