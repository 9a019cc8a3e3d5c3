"""Can pictures be found by names that only one organisation uses? `python -m benchmarks.adaptation [--json FILE]`.

Each category of the demo's photographs gets an invented name as its one keyword; `loupe model train` learns from them.
Printed are how pictures left out are found by those names before and after, and whether the model still answers the
ordinary sample queries over pictures alone.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from PIL import Image
from rich.table import Table

from api import compose
from api.settings import Settings, models_directory
from benchmarks.libraries import PHOTOS, asked, credited
from benchmarks.measures import CONSOLE, Row, measured, table
from search.models.adapting import Trained
from search.models.loading import load_models

#: For the categories with enough pictures to leave some out.
NAMES: Final = {
    "animals": "Velunor",
    "landmarks": "Brasquith",
    "landscape": "Tomarel",
    "space": "Quenvix",
    "transport": "Draxolin",
    "flowers": "Ospirelle",
    "food and drink": "Glaventa",
    "people": "Murzanti",
}


@click.command()
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too.")
def main(as_json: Path | None) -> None:
    """Measure what learning from approved metadata brings."""
    with tempfile.TemporaryDirectory(prefix="loupe-adaptation-") as scratch:
        settings = Settings(data_dir=str(Path(scratch) / "data"))
        _index(settings, Path(scratch) / "photographs")
        trained = compose.train_model(settings, "bench", [])
        if trained is None:
            raise click.ClickException("Stopped.")
        rows = [_pictures_alone(name, models_directory(settings)) for name in ("loupe-mini", trained.name)]
    CONSOLE.print(_table(trained))
    CONSOLE.print(table("what it knew before: the sample queries, pictures alone", rows))
    if as_json:
        as_json.write_bytes(msgspec.json.encode({"trained": trained, "rows": rows}) + b"\n")


def _index(settings: Settings, folder: Path) -> None:
    folder.mkdir()
    manifest = folder / "manifest.jsonl"
    with manifest.open("w", encoding="utf-8") as lines:
        for number, one in enumerate(credited()):
            if one["category"] in NAMES:
                path = f"{number:04}.jpg"
                shutil.copyfile(PHOTOS / one["file"], folder / path)
                row = {"path": path, "id": path, "status": "approved", "keywords": [NAMES[one["category"]]]}
                lines.write(json.dumps(row) + "\n")
    compose.index(settings, [folder], manifest)


def _pictures_alone(name: str, directory: Path) -> Row:
    visual = load_models(name, directory).visual
    files = [one["file"] for one in credited()]
    seen = visual.embed_images(Image.open(PHOTOS / file) for file in files)
    queries = asked("sample")
    orders = np.argsort(-(visual.embed_texts([query.text for query in queries]) @ seen.T), axis=1)
    ranked = [[files[place] for place in order] for order in orders.tolist()]
    return measured("sample", name, [query.relevant for query in queries], ranked)


def _table(trained: Trained) -> Table:
    numbers = f"{trained.learned_from} pictures learned from, {trained.left_out} left out"
    title = f"{trained.after.names} invented names, {numbers}"
    made = Table(title=title, title_justify="left")
    for heading in ("pictures left out, found by name", "hit@5", "MRR"):
        made.add_column(heading)
    for when, found in (("before", trained.before), ("after", trained.after)):
        made.add_row(when, f"{found.hit_at_5:.2f}", f"{found.mrr:.2f}")
    return made


if __name__ == "__main__":
    main()
