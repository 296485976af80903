"""``python -m website.pictures FOLDER``: draw the pictures of the docs, from the slide of the package."""

import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

from PIL import Image

SLIDE = Path(__file__).parents[1] / "atlaspatch_core" / "data" / "CMU-1-Small-Region.svs"
HEIGHT = 720
"""px of a picture."""
PAGE = (1180, HEIGHT)
MOST_BYTES = 150_000
PROGRAM = "from atlaspatch_assets.cli.main import main; main()"


def main(folder: Path) -> None:
    """Write all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        output, page = Path(name, "out"), Path(name, "status.html")
        geometry = ("--patch-size", 256, "--target-mag", 20)
        encoders = ("--slide-encoders", "mean-efficientnet_lite0", "--device", "cpu")
        atlaspatch("encode-slide", SLIDE, "--output", output, *geometry, *encoders, "--visualize-grids")
        atlaspatch("status", output, "--html", page)
        with Image.open(output / "visualization" / f"{SLIDE.stem}.png") as grid:
            overlay = scaled(grid.convert("RGB"))
        save(overlay, folder / "overlay.jpg")
        status = photograph(page)
        save(status, folder / "status.jpg")
        save(beside(overlay, status), folder / "first-look.jpg")


def atlaspatch(*words: object) -> None:
    """Run a command as a user does."""
    subprocess.run([sys.executable, "-c", PROGRAM, *map(str, words)], check=True)


def photograph(page: Path) -> Image.Image:
    """Return what a browser shows of a page from disk."""
    from playwright.sync_api import sync_playwright

    picture = page.with_suffix(".png")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": PAGE[0], "height": PAGE[1]}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.screenshot(path=picture)
        browser.close()
    with Image.open(picture) as taken:
        return taken.convert("RGB")


def scaled(image: Image.Image) -> Image.Image:
    """Return an image with the height of all pictures."""
    return image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.LANCZOS)


def beside(left: Image.Image, right: Image.Image, gap: int = 16) -> Image.Image:
    """Return two images side by side on white."""
    both = Image.new("RGB", (left.width + gap + right.width, HEIGHT), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + gap, 0))
    return both


def save(image: Image.Image, path: Path) -> None:
    """Write a JPEG that is small enough for a repository."""
    for quality in range(85, 20, -10):
        image.save(path, quality=quality, optimize=True)
        if path.stat().st_size < MOST_BYTES:
            return
    raise ValueError(f"{path}: over {MOST_BYTES} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
