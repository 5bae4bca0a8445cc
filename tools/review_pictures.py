"""Images of the review page for the documentation, from a made project:
docs/images/review_*.png.

python tools/review_pictures.py [--out docs/images]
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from made_review_project import make_project
from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = 72
MOST_BYTES = 300_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("docs/images"), help="folder of the images"
    )
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "Sample"
        images = [frame.image for frame in make_project(root, IMAGES).images]
        with serve_review(root) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            cleo = Page(browser, address, "cleo")
            dora = Page(browser, address, "dora")
            for name, screenshot in take_screenshots(cleo, dora, images):
                save_png(screenshot, out / f"review_{name}.png")
            browser.close()


def take_screenshots(
    cleo: Page, dora: Page, images: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each screenshot."""
    yield "who", cleo.page.screenshot()
    cleo.enter()
    cleo.open(images[8])
    cleo.press("Tab", "Tab")
    yield "page", cleo.page.screenshot()
    found = next(image for image in images[24:] if cleo.open(image).looks_swapped())
    cleo.press("i", "ArrowRight", "ArrowRight")
    cleo.page.wait_for_selector("#kept:has-text('all changes kept')")
    yield "finding", cleo.page.screenshot()
    dora.enter()
    dora.open(found)
    cleo.page.wait_for_selector("#others:has-text('dora')")
    dora.press("1", "ArrowUp", "s")
    dora.page.wait_for_selector(f"#where:not(:has-text('{found}'))")
    cleo.press("s")
    cleo.page.wait_for_selector("#banner:visible")
    yield "conflict", cleo.page.screenshot()
    dora.press("?")
    yield "keys", dora.page.screenshot()


class Page:
    """A reviewer at the page."""

    def __init__(self, browser: Any, address: str, name: str) -> None:
        self.name = name
        self.page = browser.new_context(
            viewport={"width": 1280, "height": 800}
        ).new_page()
        self.page.goto(address)
        self.page.wait_for_selector("#who[open]")

    def enter(self) -> None:
        """Say which reviewer it is."""
        self.page.get_by_role("button", name=self.name, exact=True).click()
        self.page.wait_for_selector("#strip[data-image]")

    def open(self, image: str) -> Page:
        """Go to an image by the queue."""
        dive, _, number = image.rpartition("/")
        self.page.locator("#filter-dive").select_option(dive)
        self.page.locator("#filter-state").select_option("")
        self.page.locator(".row", has_text=number.removesuffix(".jpg")).click()
        self.page.wait_for_selector(f"#strip[data-image='{image}']")
        return self

    def looks_swapped(self) -> bool:
        """Return whether the checks take sides for swapped here."""
        findings = self.page.locator("#findings .finding", has_text="look swapped")
        return bool(findings.count())

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


@contextmanager
def serve_review(root: Path) -> Iterator[str]:
    """Serve the review of a project; yield its address."""
    command = [
        sys.executable,
        "-m",
        "finediving_pose",
        "review",
        "--no-browser",
        "--port",
        "0",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()


def save_png(screenshot: bytes, path: Path) -> None:
    """Write an image with as many colours as fit into the size that the documentation
    allows."""
    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    for colours in (256, 128, 64):
        written = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(
            written, "PNG", optimize=True
        )
        if written.tell() <= MOST_BYTES:
            break
    path.write_bytes(written.getvalue())
    print(f"{path}: {written.tell() / 1000:.0f} kB")


if __name__ == "__main__":
    main()
