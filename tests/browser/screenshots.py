"""Makes the pictures of the README: `python -m tests.browser.screenshots`, over a demo built in a folder of its own."""

import io
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import QUIET
from tests.conftest import serving

FOLDER: Final = Path(__file__).parents[2] / ".readme"
SEARCH: Final = "/?q=waves+on+a+rocky+coast&channel=social&territory=DE&on=2027-03-01&until=2027-03-31"
SHOTS: Final = (
    ("search", SEARCH, {"width": 1360, "height": 860}, "light"),
    ("detail", "/?q=how+to+taste+coffee&asset=how-to-taste-coffee&at=14", {"width": 1360, "height": 860}, "dark"),
    ("phone", SEARCH, {"width": 390, "height": 844}, "light"),
)


def main() -> None:
    """Write each shot as WebP."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(serving("demo", data_dir=scratch / "data"))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        for name, path, viewport, scheme in SHOTS:
            context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
            headers = {"Origin": server.address}
            context.request.post(f"{server.address}/v1/demo/sign-in", data={"user": "mara"}, headers=headers)
            page = context.new_page()
            page.goto(server.address + path, wait_until="networkidle")
            page.mouse.move(0, 0)
            page.evaluate("document.activeElement.blur()")
            page.wait_for_timeout(1000)
            image = Image.open(io.BytesIO(page.screenshot()))
            image.save(FOLDER / f"{name}.webp", quality=82, method=6)
        browser.close()


if __name__ == "__main__":
    main()
