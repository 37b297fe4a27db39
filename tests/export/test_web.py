"""Tests the folder that draws maps in the visitor's browser: in a real one, from a plain static server."""

from __future__ import annotations

import functools
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.errors import ModelFileError, OutputError
from sat2map.export import export_model, web_runtime
from sat2map.images.palette import Palette
from sat2map.images.pixels import resize
from sat2map.inference import Translator
from sat2map.inference.drawing import Products
from sat2map.inference.tiling import Grid
from sat2map.models.model import Model
from sat2map.models.model_file import ModelHeader, read_arrays, save_model
from sat2map.synthetic.towns import draw_town

try:
    web_runtime.find_runtime()
except OutputError:
    pytest.skip("ONNX Runtime for browsers is not here: make web", allow_module_level=True)

SAME = 0.995  # of the pixels have the class that `translate` gives them, at least
Drawn = tuple[NDArray[np.uint8], str]


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


class Site:
    """A folder behind Python's static server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder))
        )
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _give(page: Any, name: str, content: bytes) -> None:
    page.set_input_files(
        "#file", files=[{"name": name, "mimeType": "application/octet-stream", "buffer": content}]
    )


def _until(page: Any, expression: str) -> None:
    for _ in range(3600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def _download(page: Any, selector: str = "#download") -> NDArray[np.uint8]:
    with page.expect_download() as waiting:
        page.click(selector)
    return np.asarray(Image.open(waiting.value.path()).convert("RGB"))


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page with the model of the package."""
    folder = tmp_path_factory.mktemp("bundled") / "page"
    export_model(None, "web", folder)
    site = Site(folder)
    yield site
    site.stop()


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the package, but it works in tiles above 256 px."""
    import torch

    model = Model.find(None)
    header = model.header.model_copy(update={"max_untiled_size": 256, "gsd": 2.0})
    state = {name: torch.from_numpy(array) for name, array in read_arrays(model.path).items()}
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, state, header)
    return path


@pytest.fixture(scope="module")
def tiny(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tiny") / "page"
    export_model(tiny_model, "web", folder)
    site = Site(folder)
    yield site
    site.stop()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a site; no script may fail, nothing may be sent, and nothing be asked of others."""
    contexts, faults = [], []

    def go(site: Site, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        context.on(
            "request",
            lambda request: (
                faults.append(f"{request.method} {request.url}")
                if request.method != "GET" or not request.url.startswith((site.url, "blob:"))
                else None
            ),
        )
        page.goto(site.url)
        page.wait_for_selector("#facts dd")
        return page

    go.faults = faults  # type: ignore[attr-defined]
    yield go
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_browser_draws_the_classes_that_translate_draws(
    bundled: Site, visit: Callable[..., Any], width: int
) -> None:
    town = draw_town(5, size=400, gsd=0.6).source[:, :360]
    page = visit(bundled, width)
    page.fill("#gsd", "0.6")
    _give(page, "town.png", _png(town))
    page.wait_for_selector("#result:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    classes = Palette.load("maps").classify(_download(page))
    expected = Translator.open(engine="onnx").draw(town, Products(classes=True), gsd=0.6).classes
    assert (classes == expected).mean() >= SAME


def test_tiles_views_and_another_scale(tiny: Site, tiny_model: Path, visit: Callable[..., Any]) -> None:
    town = draw_town(7, size=700).source[:610]
    page = visit(tiny)
    page.evaluate(
        """() => {
            window.said = [];
            const box = document.getElementById("busy-text");
            new MutationObserver(() => said.push(box.textContent)).observe(box, { childList: true });
        }"""
    )
    _give(page, "town.png", _png(town))
    page.wait_for_selector("#result:not([hidden])")
    assert page.evaluate("said.some((words) => /of 9 tiles/.test(words))")
    translator = Translator.open(tiny_model, engine="onnx")
    products = Products(classes=True, confidence=True)
    expected = translator.draw(town, products)
    assert (_download(page) == np.moveaxis(expected.image, 0, -1)).all(axis=-1).mean() >= SAME
    page.click("#more summary")
    confidence = _download(page, "#download-confidence")[..., 0]
    assert expected.confidence is not None
    assert np.abs(confidence / 2.55 - expected.confidence).mean() < 0.5
    page.fill("#scale", "1.5")
    page.click("#redraw")
    _until(page, "document.getElementById('summary').textContent.includes('1.5 m per pixel')")
    scaled = translator.draw(town, products, gsd=1.5)
    assert (_download(page) == np.moveaxis(scaled.image, 0, -1)).all(axis=-1).mean() >= SAME
    shares = page.locator("#shares li").all_inner_texts()
    assert len(shares) == len(Palette.load("maps").classes)
    page.select_option("#colors", "dark")
    page.wait_for_selector("#result:not([hidden])")
    dark = {tuple(colour) for one in Palette.load("dark").classes for colour in one.colours}
    _until(page, "document.getElementById('visit-list').children.length === 3")
    assert {tuple(colour) for colour in np.unique(_download(page).reshape(-1, 3), axis=0)} <= dark


def test_cancelling_ends_the_work_and_the_next_image_is_drawn(tiny: Site, visit: Callable[..., Any]) -> None:
    town = draw_town(7, size=256).source
    page = visit(tiny)
    _give(page, "large.png", _png(np.tile(town, (14, 14, 1))))
    _until(page, "/[1-9]\\d* of \\d+ tiles/.test(document.getElementById('busy-text').textContent)")
    page.click("#cancel")
    assert page.is_visible("#drop")
    _give(page, "town.png", _png(town))
    page.wait_for_selector("#result:not([hidden])")
    assert "256 × 256 px" in page.inner_text("#summary")


def test_after_the_first_visit_it_works_offline_and_with_threads(
    tiny_model: Path, visit: Callable[..., Any], tmp_path: Path
) -> None:
    export_model(tiny_model, "web", tmp_path / "page")
    site = Site(tmp_path / "page")
    page = visit(site)
    assert not page.evaluate("crossOriginIsolated")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    _until(page, "navigator.serviceWorker.controller !== null")
    site.stop()
    page.reload()
    page.wait_for_selector("#facts dd")
    assert page.evaluate("crossOriginIsolated")
    assert "threads" in page.inner_text("#facts")
    page.click("[data-example='1']")
    page.wait_for_selector("#result:not([hidden])")
    assert "512 × 512 px" in page.inner_text("#summary")


def test_what_a_browser_cannot_read_has_a_sentence(tiny: Site, visit: Callable[..., Any]) -> None:
    town = draw_town(7, size=256).source
    tiff, deep, cmyk = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(town).save(tiff, "TIFF")
    Image.fromarray(town[..., 0].astype(np.uint16) * 257).save(deep, "PNG")
    Image.fromarray(town).convert("CMYK").save(cmyk, "JPEG")
    page = visit(tiny)
    for content, words in [
        (tiff.getvalue(), "no TIFF"),
        (deep.getvalue(), "16 bits"),
        (cmyk.getvalue(), "CMYK"),
        (b"no image", "no PNG, JPEG or WebP"),
        (_png(town[:8]), "256 × 8 px"),
    ]:
        _give(page, "file", content)
        _until(page, f"document.getElementById('alert-detail').textContent.includes('{words}')")
        assert page.is_visible("#drop")


def test_of_a_training_pair_the_photo_is_drawn(
    tiny: Site, tiny_model: Path, visit: Callable[..., Any]
) -> None:
    town = draw_town(19, size=256)
    page = visit(tiny)
    _give(page, "pair.png", _png(np.hstack([town.source, town.target])))
    page.wait_for_selector("#result:not([hidden])")
    assert "256 × 256 px" in page.inner_text("#summary")
    assert "training pair" in page.inner_text("#notes")
    expected = Translator.open(tiny_model, engine="onnx")(town.source)
    assert (_download(page) == expected).all(axis=-1).mean() >= SAME
    _until(page, "document.getElementById('before').naturalWidth === 256")


def test_a_photo_that_is_opened_meanwhile_does_not_come_into_the_drawing_of_another(
    tiny: Site, visit: Callable[..., Any]
) -> None:
    page = visit(tiny, service_workers="block")
    held: list[Any] = []
    page.route("**/model/model.json", lambda route: held.append(route))
    photos = [list(_png(draw_town(seed, size=256).source)) for seed in (7, 8)]
    page.evaluate(
        """(photos) => {
            const start = () => new Worker("/page/js/local/worker.js", { type: "module" });
            const message = (number) => ({
                id: number, file: new Blob([new Uint8Array(photos[number])]), maxPixels: 1e6, classes: [],
                gsd: null, colors: null, product: "classes",
            });
            const follow = (worker, call) => new Promise((done) => {
                worker.addEventListener("message", ({ data }) => {
                    if (data.call === call && !data.total) done(data.result ?? data.detail);
                });
            });
            const bytes = async (blob) => String(new Uint8Array(await blob.arrayBuffer()));
            const [alone, busy] = [start(), start()];
            window.drawings = Promise.all([alone, busy].map((worker) => follow(worker, 1).then(bytes)));
            window.opened = follow(busy, 2);
            for (const worker of [alone, busy])
                worker.postMessage({ call: 1, action: "product", message: message(0) });
            busy.postMessage({ call: 2, action: "read", message: message(1) });
        }""",
        photos,
    )
    assert page.evaluate("opened")["width"] == 256  # the other photo is there before the model is
    for _ in range(600):
        if len(held) == 2:
            break
        page.wait_for_timeout(50)
    for route in held:
        route.continue_()
    alone, busy = page.evaluate("drawings")
    assert busy == alone


def test_no_view_has_a_barrier(tiny: Site, visit: Callable[..., Any], axe: str) -> None:
    page = visit(tiny)
    _look(page, axe)
    page.click("[data-example='2']")
    page.wait_for_selector("#result:not([hidden])")
    _look(page, axe)


def _look(page: Any, axe: str) -> None:
    _until(page, "document.getAnimations().every((one) => !(one instanceof CSSTransition))")  # of colours
    page.evaluate(axe)
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_photos_are_resized_as_pillow_does_bit_for_bit(tiny: Site, visit: Callable[..., Any]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (37, 53, 3), np.uint8)
    page = visit(tiny)
    for size in [(21, 30), (90, 130), (37, 40), (64, 53)]:
        got = page.evaluate(
            """async ([pixels, from, to]) => {
                const { resize } = await import("/page/js/local/resample.js");
                return Array.from(resize(Uint8ClampedArray.from(pixels), from, to));
            }""",
            [image.ravel().tolist(), [37, 53], list(size)],
        )
        np.testing.assert_array_equal(np.array(got, np.uint8).reshape(*size, 3), resize(image, *size))


def test_tiles_lie_where_the_package_lays_them(tiny: Site, visit: Callable[..., Any]) -> None:
    page = visit(tiny)
    lengths = [*range(1, 2200, 7), 5000]
    for limit, divisor in [(640, 32), (256, 16), (96, 8)]:
        grid = Grid.for_network(limit, divisor)
        given = {
            "tile": grid.tile,
            "overlap": grid.overlap,
            "divisor": divisor,
            "minLast": 256,
            "alignment": 32,
        }
        got = page.evaluate(
            """async ([grid, lengths]) => {
                const { spans } = await import("/page/js/local/tiling.js");
                const numbers = ({ start, stop, first, last, fade }) => [start, stop, first, last, fade];
                return lengths.map((length) => spans(grid, length).map(numbers));
            }""",
            [given, lengths],
        )
        assert got == [[list(span) for span in grid.spans(length)] for length in lengths]


def test_the_service_worker_keeps_every_file(tiny: Site) -> None:
    line = (tiny.folder / "service-worker.js").read_text("utf-8").splitlines()[0]
    kept = json.loads(line.removeprefix("self.RELEASE = ").removesuffix(";"))["files"]
    there = {path.relative_to(tiny.folder).as_posix() for path in tiny.folder.rglob("*") if path.is_file()}
    assert {*kept} == {"./", *there} - {"index.html", "service-worker.js"}


def test_without_the_runtime_a_sentence_says_how_to_get_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_runtime, "FOLDER", tmp_path)
    with pytest.raises(OutputError, match="make web"):
        export_model(tiny_model, "web", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_another_package_is_not_taken_for_the_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_runtime, "FOLDER", tmp_path / "runtime")
    with pytest.raises(OutputError, match="checksum"):
        web_runtime.install_runtime(b"another package")
    assert not (tmp_path / "runtime").exists()


def test_only_an_earlier_page_is_replaced(tiny: Site, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="no page of sat2map"):
        export_model(tiny_model, "web", tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    with pytest.raises(OutputError, match="exists"):
        export_model(tiny_model, "web", tiny.folder)


def test_a_network_that_draws_images_is_refused(tmp_path: Path) -> None:
    from sat2map.models.architectures.generators import build_generator
    from sat2map.models.architectures.spec import GeneratorSpec

    spec = GeneratorSpec(width=8, depth=4)
    save_model(tmp_path / "m.safetensors", build_generator(spec).state_dict(), ModelHeader(generator=spec))
    with pytest.raises(ModelFileError, match="palette network"):
        export_model(tmp_path / "m.safetensors", "web", tmp_path / "page")
