"""Tests the page and the live map as people use them, in a real browser."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from sat2map.inference import Translator
from sat2map.synthetic.towns import draw_town


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _file(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": content}


def _until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true; Playwright's own way is forbidden by the page's policy."""
    for _ in range(3600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def _result(page: Any) -> None:
    """Wait until a result is drawn, decoded and told; `#result` alone is there before its pictures are."""
    page.wait_for_selector("#result:not([hidden])")
    _until(page, "document.getElementById('status').textContent.includes('ready')")


def _busy_words(page: Any) -> None:
    """Keep what the page says while it draws, which may pass too quickly to be seen, in `window.said`."""
    page.evaluate(
        """() => {
            window.said = [];
            const box = document.getElementById("busy-text");
            new MutationObserver(() => said.push(box.textContent)).observe(box, { childList: true });
        }"""
    )


AT_ALL_WIDTHS = pytest.mark.parametrize("page", [1280, 390], indirect=True)  # px: at a desk, on a phone


@AT_ALL_WIDTHS
def test_upload_compare_zoom_and_download(page: Any, town: NDArray[np.uint8], model_file: Path) -> None:
    page.goto("/")
    page.set_input_files("#file", files=[_file("my town.png", _png(town))])
    _result(page)
    assert "256 × 256 px" in page.inner_text("#summary")
    assert "Drawn in" in page.inner_text("#summary")
    box = page.locator("#slider").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + 40)
    assert page.evaluate("document.getElementById('slider').value") == pytest.approx(25, abs=2)
    before = page.inner_text("#zoom-level")
    page.click("#zoom-in")
    assert int(page.inner_text("#zoom-level").split()[0]) > int(before.split()[0])
    page.click("#zoom-fit")
    assert page.inner_text("#zoom-level") == before
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "my town-map.png"
    got = np.asarray(Image.open(waiting.value.path()))
    np.testing.assert_array_equal(got, Translator.open(model_file, image_only=True)(town))


def test_the_scale_is_checked_sent_and_remembered(
    page: Any, town: NDArray[np.uint8], model_file: Path
) -> None:
    page.goto("/")
    field = page.locator("#gsd")
    page.wait_for_selector("#facts dd")
    assert page.evaluate("document.getElementById('gsd').placeholder") == "2.1"
    field.fill("-1")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    assert page.evaluate("document.activeElement.id") == "gsd"
    assert page.is_visible("#drop")
    field.fill("1.05")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    assert "1.05 m per pixel" in page.inner_text("#summary")
    with page.expect_download() as waiting:
        page.click("#download")
    expected = Translator.open(model_file, image_only=True)(town, gsd=1.05)
    np.testing.assert_array_equal(np.asarray(Image.open(waiting.value.path())), expected)
    page.click("#again")
    assert field.input_value() == "1.05"


@AT_ALL_WIDTHS
def test_another_scale_draws_again_without_a_second_upload(page: Any, town: NDArray[np.uint8]) -> None:
    uploads: list[str] = []
    drawn: list[str] = []
    page.on("request", lambda asked: uploads.append(asked.url) if asked.method == "POST" else None)
    page.on(
        "request",
        lambda asked: drawn.append(asked.url) if "/v1/" in asked.url and "/map" in asked.url else None,
    )
    page.goto("/")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    page.fill("#scale", "1.05")
    page.click("#redraw")
    page.wait_for_selector("#busy", state="hidden")
    _until(page, "document.getElementById('summary').textContent.includes('1.05 m per pixel')")
    assert len(uploads) == 1
    assert ["gsd=1.05" in address for address in drawn] == [False, True]
    assert page.locator("#visit-list li").count() == 2
    page.click("#visit-list li:last-child button")
    _until(page, "!document.getElementById('summary').textContent.includes('m per pixel')")


def test_views_legend_and_commands(page: Any, town: NDArray[np.uint8]) -> None:
    page.goto("/")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("#shares li").count() == 6
    page.check("#view-classes", force=True)
    page.wait_for_selector("#single:not([hidden])")
    assert page.evaluate("document.getElementById('single').naturalWidth") == 256
    page.click("#more summary")
    with page.expect_download() as waiting:
        page.click("#download-side")
    assert np.asarray(Image.open(waiting.value.path())).shape[:2] == (256, 512)


def _copied(page: Any, button: str) -> str:
    page.evaluate("document.getElementById('status').textContent = ''")
    page.click("#more summary")
    page.click(button)
    _until(page, "document.getElementById('status').textContent === 'Copied.'")
    return str(page.evaluate("navigator.clipboard.readText()"))


@pytest.mark.parametrize("colors", ["", "dark"])
def test_the_copied_commands_draw_the_same_map(
    page: Any, town: NDArray[np.uint8], tmp_path: Path, colors: str
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    name = "Ann's town.png"
    (tmp_path / name).write_bytes(_png(town))
    page.goto("/")
    page.fill("#gsd", "1.5")
    page.set_input_files("#file", files=[tmp_path / name])
    page.wait_for_selector("#result:not([hidden])")
    if colors:
        page.select_option("#colors", colors)
        _until(page, "document.getElementById('visit-list').children.length === 2")
    with page.expect_download() as waiting:
        page.click("#download")
    expected = np.asarray(Image.open(waiting.value.path()))
    output = tmp_path / "Ann's town-map.png"
    for button, program in (("#copy-curl", ["bash", "-ec"]), ("#copy-python", [sys.executable, "-c"])):
        subprocess.run([*program, _copied(page, button)], cwd=tmp_path, check=True, capture_output=True)
        np.testing.assert_array_equal(np.asarray(Image.open(output)), expected)
        output.unlink()


def test_when_the_connection_is_lost_the_file_is_kept(page: Any, town: NDArray[np.uint8]) -> None:
    page.goto("/")
    page.wait_for_selector("#facts dd")
    page.route("**/v1/images", lambda route: route.abort("connectionreset"))
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#alert:not([hidden])")
    assert "Your image is kept" in page.inner_text("#alert")
    page.unroute("**/v1/images")
    page.click("#alert-retry")
    page.wait_for_selector("#result:not([hidden])")


def test_while_the_service_is_busy_the_page_waits_and_tries_again(page: Any, town: NDArray[np.uint8]) -> None:
    page.goto("/")
    page.wait_for_selector("#facts dd")
    answers: list[int] = []

    def refuse(route: Any) -> None:
        answers.append(503)
        problem = {"title": "The service is busy", "status": 503, "detail": "try again"}
        route.fulfill(status=503, headers={"Retry-After": "1"}, json=problem)

    _busy_words(page)
    page.route("**/v1/images", refuse, times=1)
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    assert page.evaluate("said.some((words) => words.includes('trying again'))")
    assert answers == [503]


def test_a_file_over_the_limit_is_not_sent(page: Any) -> None:
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.url) if asked.method == "POST" else None)

    def lower(route: Any) -> None:
        route.fulfill(json={**route.fetch().json(), "job_body_bytes": 1 << 20})

    page.route("**/v1/models", lower)
    page.goto("/")
    page.wait_for_selector("#facts dd")
    page.set_input_files("#file", files=[_file("large.png", bytes(3 << 20))])
    page.wait_for_selector("#alert:not([hidden])")
    assert "It has 3 MB, and this service takes 1 MB" in page.inner_text("#alert")
    assert sent == []


@AT_ALL_WIDTHS
def test_an_orthophoto_is_a_job_with_progress_that_can_be_cancelled(page: Any, tmp_path: Path) -> None:
    town = np.moveaxis(np.tile(draw_town(19, size=256).source, (6, 6, 1)), -1, 0)
    form = {"driver": "GTiff", "height": 1536, "width": 1536, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "ortho.tif",
        "w",
        crs="EPSG:32618",
        transform=Affine(2.1, 0, 583000, 0, -2.1, 4507000),
        **form,
    ) as file:
        file.write(town)
    page.goto("/")
    page.wait_for_selector("#facts dd")
    _busy_words(page)
    held: list[Any] = []
    page.route("**/v1/jobs/*/result", lambda route: held.append(route))  # it cannot end before "cancel"
    for ending in ("cancel", "wait"):
        page.evaluate("said.length = 0")
        page.set_input_files("#file", files=[tmp_path / "ortho.tif"])
        _until(page, "said.some((words) => /\\d+ of \\d+ tiles/.test(words))")
        if ending == "cancel":
            page.click("#cancel")
            assert page.is_visible("#drop")
            page.unroute("**/v1/jobs/*/result")
    page.wait_for_selector("#result:not([hidden])")
    assert "without the views of classes and confidence" in page.inner_text("#notes")
    with page.expect_download() as waiting:
        page.click("#download")
    with rasterio.open(waiting.value.path()) as drawn:
        assert drawn.shape == (1536, 1536)
        assert drawn.crs.to_epsg() == 32618


def test_a_mistyped_address_has_a_page(page: Any) -> None:
    page.goto("/no/such/page")
    assert "Page not found" in page.inner_text("h1")
    page.click("main a")
    page.wait_for_selector("#facts dd")


def test_an_image_chosen_before_the_models_are_listed_is_drawn_when_they_are(
    page: Any, town: NDArray[np.uint8]
) -> None:
    held: list[Any] = []
    page.route("**/v1/models", lambda route: held.append(route))
    page.goto("/")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#busy:not([hidden])")
    page.wait_for_timeout(300)
    assert not page.is_visible("#alert")
    held[0].continue_()
    page.wait_for_selector("#result:not([hidden])")


def test_the_list_of_models_is_asked_for_again_when_it_did_not_come(
    page: Any, town: NDArray[np.uint8]
) -> None:
    page.route("**/v1/models", lambda route: route.abort(), times=1)
    page.goto("/")
    page.wait_for_selector("#alert:not([hidden])")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    assert page.is_visible("#facts dd")


def test_the_view_chosen_last_is_shown_though_an_earlier_one_is_decoded_later(
    page: Any, town: NDArray[np.uint8]
) -> None:
    page.add_init_script(
        """const decode = HTMLImageElement.prototype.decode;
        HTMLImageElement.prototype.decode = async function () {
            if (this.id === "before") await new Promise((done) => { window.release = done; });
            return decode.call(this);
        };"""
    )
    page.goto("/")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    _until(page, "'release' in window")
    page.evaluate("for (const view of ['photo', 'map']) document.getElementById(`view-${view}`).click()")
    page.wait_for_selector("#single:not([hidden])")
    page.evaluate("release()")
    _until(page, "document.getElementById('status').textContent.includes('ready')")
    assert not page.is_visible("#slider")
    assert not page.is_visible("#alert")
    assert page.get_attribute("#single", "src") == page.get_attribute("#download", "href")


def test_a_view_that_does_not_come_is_told(page: Any, town: NDArray[np.uint8]) -> None:
    page.goto("/")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    _result(page)
    page.route("**/v1/images/*/map*", lambda route: route.abort("connectionreset"))
    page.check("#view-classes", force=True)
    page.wait_for_selector("#alert:not([hidden])")


def test_an_image_chosen_after_an_example_stays_when_the_example_comes_late(
    page: Any, town: NDArray[np.uint8]
) -> None:
    page.goto("/")
    page.wait_for_selector("#facts dd")
    held: list[Any] = []
    page.route("**/examples/1.png", lambda route: held.append(route))
    with page.expect_request("**/examples/1.png"):
        page.click("[data-example='1']")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    _result(page)
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    assert page.inner_text("#name") == "town.png"
    assert page.is_visible("#result")


def test_an_answer_to_an_old_key_that_comes_late_does_not_ask_for_the_new_one_again(page: Any) -> None:
    page.goto("/")
    page.wait_for_selector("#facts dd")
    late: list[Any] = []

    def check(route: Any) -> None:
        route.fulfill(status=200 if route.request.headers["authorization"] == "Bearer new" else 401, json={})

    def hold(route: Any) -> None:
        check(route) if late else late.append(route)

    page.route("**/early", check)
    page.route("**/late", hold)
    page.evaluate(
        """async () => {
            const { ask } = await import("/page/js/api.js");
            sessionStorage.setItem("sat2map-key", "old");
            Promise.all(["late", "early"].map((address) => ask(address))).then(() => { window.both = true; });
        }"""
    )
    page.fill("#key", "new")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-form", state="hidden")
    check(late[0])
    _until(page, "window.both || !document.getElementById('key-form').hidden")
    assert not page.is_visible("#key-form")


def test_a_problem_links_to_a_page_that_says_what_to_do(page: Any) -> None:
    page.goto("/")
    page.set_input_files("#file", files=[_file("text.png", b"no image at all")])
    page.click("#alert-more")
    assert page.inner_text("h1") == "Unsupported file type"
    assert "PNG, JPEG, WebP or TIFF" in page.inner_text("main")


@AT_ALL_WIDTHS
def test_of_a_training_pair_the_photo_is_drawn(page: Any, model_file: Path) -> None:
    town = draw_town(19, size=256)
    page.goto("/")
    page.set_input_files("#file", files=[_file("pair.png", _png(np.hstack([town.source, town.target])))])
    page.wait_for_selector("#result:not([hidden])")
    assert "256 × 256 px" in page.inner_text("#summary")
    assert "training pair" in page.inner_text("#notes")
    _until(page, "document.getElementById('before').naturalWidth === 256")


def test_the_note_on_an_unknown_scale_points_to_the_page_itself(page: Any, town: NDArray[np.uint8]) -> None:
    page.goto("/")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    assert page.inner_text("#notes").endswith("if the map looks wrong, change the scale below.")
    assert page.is_visible("#scale")


def test_the_api_page_shows_every_operation_and_sends_a_request(page: Any) -> None:
    page.goto("/docs")
    page.wait_for_selector(".opblock")
    operations = page.request.get("/openapi.json").json()["paths"]
    count = sum(len(methods) for methods in operations.values())
    _until(page, f"document.querySelectorAll('.opblock').length === {count}")
    page.click("#operations-models-list_models .opblock-summary-control")
    page.click("#operations-models-list_models .try-out__btn")
    page.click("#operations-models-list_models .execute")
    page.wait_for_selector(".live-responses-table:has-text('max_untiled_size')")


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]
)
def test_no_view_has_a_barrier(
    browser: Any, server: Any, axe: str, scheme: str, width: int, town: NDArray[np.uint8]
) -> None:
    context = browser.new_context(
        color_scheme=scheme, base_url=server.url, viewport={"width": width, "height": 800}
    )
    page = context.new_page()

    def look() -> None:
        _until(page, "document.getAnimations().every((one) => !(one instanceof CSSTransition))")  # of colours
        page.evaluate(axe)
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []

    page.goto("/")
    page.wait_for_selector("#facts dd")
    look()
    page.set_input_files("#file", files=[_file("text.png", b"no image at all")])
    page.wait_for_selector("#alert:not([hidden])")
    look()
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    _result(page)
    for view in ("side", "photo", "map", "classes"):
        page.check(f"#view-{view}", force=True)
        shown = "slider" if view == "side" else f"single[alt={view.capitalize()}]"
        page.wait_for_selector(f"#{shown}:not([hidden])")
        look()
    page.click("#wrong")
    _until(page, "document.querySelectorAll('#scale-list img[src]').length > 1")
    look()
    for address, there in (
        ("/no/such/page", "h1"),
        ("/problems/busy", "h1"),
        ("/map", "#rasters [aria-current]"),
        ("/docs", ".information-container[role=region]"),
    ):
        page.goto(address)
        page.wait_for_selector(there)
        look()
    page.route("**/v1/images", lambda route: route.fulfill(status=401, json={"status": 401}))
    page.goto("/")
    page.wait_for_selector("#facts dd")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#key-form:not([hidden])")
    look()
    context.close()


def test_an_example_is_one_click(page: Any) -> None:
    page.goto("/")
    page.click("[data-example='1']")
    page.wait_for_selector("#result:not([hidden])")
    page.click("#again")
    assert page.is_visible("#drop")


def test_a_broken_file_is_told_in_plain_words_and_the_next_one_works(
    page: Any, town: NDArray[np.uint8]
) -> None:
    page.goto("/")
    page.set_input_files("#file", files=[_file("broken.png", _png(town)[:500])])
    page.wait_for_selector("#alert:not([hidden])")
    words = page.inner_text("[role=alert]")
    assert "cannot be translated" in words
    assert "The image cannot be decoded" in words
    page.set_input_files("#file", files=[_file("text.png", b"no image at all")])
    _until(page, "document.getElementById('alert-detail').textContent.includes('PNG, JPEG')")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    assert not page.is_visible("#alert")


def test_with_the_keyboard_alone(page: Any, town: NDArray[np.uint8]) -> None:
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.goto("/")
    page.wait_for_selector("#facts dd")
    focused = "document.activeElement.id || document.activeElement.textContent.trim()"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "choose"
    page.keyboard.press("Enter")
    for _ in range(3600):
        if choosers:
            break
        page.wait_for_timeout(50)
    choosers[0].set_files(files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    _until(page, "document.activeElement.id === 'view-side'")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "slider":
            break
    page.keyboard.down("ArrowRight")
    _until(page, "document.getElementById('slider').value > 55")
    page.keyboard.up("ArrowRight")
    level = page.inner_text("#zoom-level")
    page.keyboard.press("+")
    assert page.inner_text("#zoom-level") != level
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "download":
            break
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    assert waiting.value.suggested_filename == "town-map.png"
    assert "ready" in page.inner_text("[role=status]")


def test_paste_and_drop(page: Any, town: NDArray[np.uint8]) -> None:
    page.goto("/")
    give = """([event, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
        const pasted = new ClipboardEvent(event, { clipboardData: data });
        dispatchEvent(event === "paste" ? pasted : new DragEvent(event, { dataTransfer: data }));
    }"""
    for event in ("paste", "drop"):
        page.evaluate(give, [event, list(_png(town[:64, :64]))])
        page.wait_for_selector("#result:not([hidden])")
        page.click("#again")


def test_a_large_image_shows_its_progress_and_can_be_cancelled(page: Any, town: NDArray[np.uint8]) -> None:
    page.goto("/")
    page.wait_for_selector("#facts dd")
    _busy_words(page)
    page.set_input_files("#file", files=[_file("large.png", _png(np.tile(town, (6, 6, 1))))])
    page.wait_for_selector("#result:not([hidden])")
    assert page.evaluate("said.some((words) => /\\d+ of \\d+ tiles/.test(words))")
    assert "1536 × 1536 px" in page.inner_text("#summary")
    page.click("#again")
    page.route("**/v1/jobs/*/result", lambda route: None)  # it cannot end before "cancel"
    page.set_input_files("#file", files=[_file("larger.png", _png(np.tile(town, (9, 9, 1))))])
    page.wait_for_selector("#busy:not([hidden])")
    page.click("#cancel")
    assert page.is_visible("#drop")


def test_a_geotiff_is_shown_and_given_back_as_a_geotiff(page: Any, raster_folder: Path) -> None:
    page.goto("/")
    page.wait_for_selector("#facts dd")
    page.set_input_files("#file", files=[raster_folder / "north" / "town.tif"])
    page.wait_for_selector("#result:not([hidden])")
    assert "1300 × 1100 px" in page.inner_text("#summary")
    with page.expect_download() as waiting:
        page.click("#more summary")
        page.click("#download-tiff")
    assert waiting.value.suggested_filename == "town-map.tif"
    assert Path(waiting.value.path()).read_bytes()[:2] == b"II"


@AT_ALL_WIDTHS
def test_a_geotiff_has_the_views_legend_and_colours_of_a_photo(
    page: Any, raster_folder: Path, tmp_path: Path
) -> None:
    page.goto("/")
    page.wait_for_selector("#facts dd")
    page.set_input_files("#file", files=[raster_folder / "aligned.tif"])
    _result(page)
    legends: list[set[str]] = []
    for colors in ("", "dark", "osm", "high-contrast", "colour-blind"):
        if colors:
            page.select_option("#colors", colors)
            _until(page, f"document.getElementById('visit-list').children.length === {len(legends) + 1}")
            _result(page)
        assert page.locator("#shares li").count() == 6
        legends.append(
            set(
                page.locator("#shares rect").evaluate_all("all => all.map((one) => one.getAttribute('fill'))")
            )
        )
        page.check("#view-classes", force=True)
        page.wait_for_selector("#single[alt=Classes]:not([hidden])")
        with page.expect_download() as waiting:
            page.click("#more summary")
            page.click("#download-classes")
        classes = np.asarray(Image.open(waiting.value.path()))
        seen = np.unique(classes[classes[..., 3] > 0][:, :3], axis=0)
        assert {"#{:02x}{:02x}{:02x}".format(*colour) for colour in seen.tolist()} <= legends[-1]
    assert len({frozenset(legend) for legend in legends}) == 5
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    with page.expect_download() as waiting:
        page.click("#download")
    shown = np.asarray(Image.open(waiting.value.path()))
    with page.expect_download() as waiting:
        page.click("#more summary")
        page.click("#download-tiff")
    with rasterio.open(waiting.value.path()) as file:
        there = file.dataset_mask() > 0
        np.testing.assert_array_equal(shown[there][:, :3], np.moveaxis(file.read((1, 2, 3)), 0, -1)[there])
    page.screenshot(path=tmp_path / "geotiff.png", full_page=True)


def test_the_copied_commands_write_a_geotiff_of_a_geotiff(
    page: Any, raster_folder: Path, tmp_path: Path
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    (tmp_path / "ortho.tif").write_bytes((raster_folder / "aligned.tif").read_bytes())
    page.goto("/")
    page.set_input_files("#file", files=[tmp_path / "ortho.tif"])
    _result(page)
    for button, program in (("#copy-curl", ["bash", "-ec"]), ("#copy-python", [sys.executable, "-c"])):
        subprocess.run([*program, _copied(page, button)], cwd=tmp_path, check=True, capture_output=True)
        with rasterio.open(tmp_path / "ortho-map.tif") as drawn:
            assert drawn.crs.to_epsg() == 3857
        (tmp_path / "ortho-map.tif").unlink()


def test_a_job_that_is_cancelled_before_its_answer_comes_is_cancelled_on_the_service(
    page: Any, server: Any, town: NDArray[np.uint8]
) -> None:
    held: list[tuple[Any, Any]] = []
    gone: list[str] = []
    page.route("**/v1/jobs?*", lambda route: held.append((route, route.fetch())))  # made, and not answered
    page.on("request", lambda asked: gone.append(asked.url) if asked.method == "DELETE" else None)
    page.goto("/")
    page.wait_for_selector("#facts dd")
    page.set_input_files("#file", files=[_file("large.png", _png(np.tile(town, (9, 9, 1))))])
    for _ in range(600):
        if held:
            break
        page.wait_for_timeout(50)
    page.click("#cancel")
    assert page.is_visible("#drop")
    ((route, answer),) = held
    job = answer.json()["id"]
    route.fulfill(response=answer)
    for _ in range(200):
        if gone:
            break
        page.wait_for_timeout(50)
    assert gone == [f"{server.url}/v1/jobs/{job}"]
    with server.client() as client:
        for _ in range(200):
            answer = client.get(f"/v1/jobs/{job}")
            if answer.status_code == 404 or answer.json()["state"] == "cancelled":
                return
            page.wait_for_timeout(50)
    raise AssertionError("the job goes on")


@pytest.mark.parametrize(("address", "there"), [("/", "#facts dd"), ("/map", "#rasters [aria-current]")])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(
    browser: Any, server: Any, address: str, there: str, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme=scheme, base_url=server.url
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(there)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 28
    context.close()


def test_a_key_is_asked_for_where_one_is_needed(browser: Any, start: Any, tmp_path: Path, town) -> None:
    from sat2map.serve.auth import new_key

    key = new_key(tmp_path / "keys", "ann")
    server = start("--api-keys", tmp_path / "keys")
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.goto("/")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#alert:not([hidden])")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#facts dd")
    page.set_input_files("#file", files=[_file("town.png", _png(town))])
    page.wait_for_selector("#result:not([hidden])")
    context.close()
