"""Tests the page of the live map as people use it, in a real browser."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path
from typing import Any

import pytest

from sat2map.images.png import encode_png

MAP_TILES = ".leaflet-generated-pane .leaflet-tile-loaded img"


def _until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true; Playwright's own way is forbidden by the page's policy."""
    for _ in range(3600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def _shown(page: Any, least: int = 1) -> None:
    _until(page, f"document.querySelectorAll('{MAP_TILES}').length >= {least}")


def test_it_draws_pans_zooms_and_has_addresses_for_qgis(page: Any) -> None:
    tiles: list[str] = []
    page.on(
        "response", lambda answer: tiles.append(answer.url) if "/tiles/" in answer.url and answer.ok else None
    )
    page.goto("/map")
    _shown(page, 4)
    assert "nowhere has no CRS" in page.inner_text("#summary")
    first = len(tiles)
    page.click("#addresses summary")
    assert page.input_value("#xyz").endswith("/rasters/aligned/tiles/{z}/{x}/{y}.png")
    assert "GetCapabilities" in page.input_value("#wmts")
    place = page.evaluate("location.hash")
    page.focus("#map")
    page.keyboard.press("+")
    _until(page, f"location.hash !== '{place}'")
    place = page.evaluate("location.hash")
    page.mouse.move(500, 400)
    page.mouse.down()
    page.mouse.move(300, 300, steps=5)
    page.mouse.up()
    _until(page, f"location.hash !== '{place}'")
    _until(page, "document.querySelectorAll('.leaflet-tile.pending').length === 0")
    _shown(page, 4)
    page.wait_for_selector("#working", state="hidden")
    assert len(tiles) > first
    assert page.evaluate(
        f"[...document.querySelectorAll('{MAP_TILES}')].every(img => img.naturalWidth === 256)"
    )
    page.focus("#divide")
    clip = "document.querySelector('.leaflet-generated-pane').style.clipPath"
    before = page.evaluate(clip)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(clip) != before
    page.uncheck("#side")
    assert page.evaluate(clip) == ""


def test_layers_are_chosen_and_opacity_applies_to_them(page: Any) -> None:
    page.goto("/map")
    _shown(page)
    page.check("input[name=kind][value=classes]", force=True)
    _until(page, "location.hash.endsWith('/aligned/classes')")
    _shown(page)
    assert page.input_value("#xyz").endswith("/rasters/aligned:classes/tiles/{z}/{x}/{y}.png")
    page.fill("#opacity", "40")
    opacity = "document.querySelector('.leaflet-generated-pane .leaflet-layer').style.opacity"
    assert page.evaluate(opacity) == "0.4"
    page.check("input[name=kind][value=imagery]", force=True)
    _until(page, "document.getElementById('opacity').disabled")
    assert page.locator(".leaflet-generated-pane img").count() == 0


def test_a_link_leads_to_the_same_view(page: Any) -> None:
    page.goto("/map#16/40.69470/-74.01500/north--town/classes")
    _shown(page)
    assert page.inner_text("#rasters [aria-current]").startswith("north--town")
    assert page.is_checked("input[name=kind][value=classes]")
    assert page.evaluate("location.hash") == "#16/40.69470/-74.01500/north--town/classes"
    page.evaluate("location.hash = '#15/40.69470/-74.01500/north--town/map'")
    _until(page, "document.querySelector('input[name=kind][value=map]').checked")
    page.goto("about:blank")
    page.goto("/map#3/0/0/gone/map")
    page.wait_for_selector("#alert:not([hidden])")
    assert "names gone" in page.inner_text("#alert")
    _shown(page)


def test_rasters_are_found_by_name_and_opened(page: Any) -> None:
    page.goto("/map")
    _shown(page)
    assert "2.8 × 2.3 km, 40.70° N 74.00° W" in page.inner_text("#rasters")
    page.fill("#find", "TOWN")
    assert page.locator("#rasters button").count() == 1
    page.click("#rasters button")
    _until(page, "location.hash.includes('/north--town/')")
    page.fill("#find", "nothing like it")
    assert "No raster" in page.inner_text("#rasters")


def test_tiles_that_are_being_drawn_are_marked_and_counted(page: Any) -> None:
    page.goto("/map")
    _shown(page)
    held: list[Any] = []
    free = False
    page.route(
        "**/rasters/north--town/tiles/**", lambda route: route.continue_() if free else held.append(route)
    )
    page.click("#rasters button:not([aria-current])")
    _until(page, "document.querySelectorAll('.leaflet-tile.pending').length > 0")
    assert "tiles" in page.inner_text("#count")
    free = True
    for route in held:
        route.continue_()
    _until(page, "document.querySelectorAll('.leaflet-tile.pending').length === 0")
    page.wait_for_selector("#working", state="hidden")


def test_the_layer_chosen_last_is_shown_when_an_earlier_one_comes_late(page: Any) -> None:
    page.goto("/map")
    _shown(page)
    held: list[Any] = []
    page.route("**/rasters/*classes/tilejson.json", lambda route: held.append(route))
    with page.expect_request("**/rasters/*classes/tilejson.json"):
        page.check("input[name=kind][value=classes]", force=True)
    page.check("input[name=kind][value=imagery]", force=True)
    _until(page, "location.hash.endsWith('/aligned/imagery')")
    with page.expect_response("**/rasters/*classes/tilejson.json"):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert page.evaluate("location.hash").endswith("/aligned/imagery")
    assert page.is_checked("input[name=kind][value=imagery]")
    assert page.locator(".leaflet-generated-pane .leaflet-layer").count() == 0


def test_a_link_that_is_followed_before_the_rasters_are_listed_is_opened_when_they_are(page: Any) -> None:
    held: list[Any] = []
    page.route("**/rasters", lambda route: held.append(route))
    with page.expect_request("**/rasters"):
        page.goto("/map")
    page.evaluate("location.hash = '#15/40.69470/-74.01500/north--town/classes'")
    page.evaluate("new Promise((done) => setTimeout(done))")  # the event of the change was handled before
    held[0].continue_()
    _until(page, "location.hash === '#15/40.69470/-74.01500/north--town/classes'")
    _shown(page)
    assert page.is_checked("input[name=kind][value=classes]")


def test_a_tile_that_is_no_image_is_told_and_not_waited_for(page: Any) -> None:
    broken = {"status": 200, "content_type": "image/png", "body": b"no image"}
    page.route("**/rasters/*/tiles/**", lambda route: route.fulfill(**broken))
    page.goto("/map")
    page.wait_for_selector("#alert:not([hidden])")
    page.wait_for_selector("#working", state="hidden")
    _until(page, "document.querySelectorAll('.leaflet-tile.pending').length === 0")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(browser: Any, server: Any, axe: str, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, base_url=server.url, bypass_csp=True
    )
    page = context.new_page()
    page.goto("/map")
    page.click("#addresses summary")
    _shown(page)
    _until(page, "document.getAnimations().every((one) => !(one instanceof CSSTransition))")  # of colours
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert [one["id"] for one in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_a_base_map_is_shown_only_if_the_operator_names_one(
    browser: Any, start: Any, raster_folder: Path
) -> None:
    asked: list[str] = []

    class Tiles(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            self.wfile.write(PIXEL)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tiles) as tiles:
        threading.Thread(target=tiles.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{tiles.server_port}"
        server = start(
            "--rasters", raster_folder, "--base-map", url + "/{z}/{x}/{y}.png",
            "--base-map-attribution", "Own <b>survey</b>",
        )  # fmt: skip
        context = browser.new_context(base_url=server.url)
        page = context.new_page()
        answer = page.goto("/map")
        assert f"img-src 'self' blob: data: {url};" in answer.headers["content-security-policy"]
        _until(
            page, "[...document.querySelectorAll('.leaflet-tile-pane img.leaflet-tile-loaded')].length > 0"
        )
        assert "Own <b>survey</b>" in page.inner_text(".leaflet-control-attribution")
        assert asked
        page.uncheck("#base")
        _until(page, "document.querySelectorAll('.leaflet-tile-pane img.leaflet-tile').length === 0")
        context.close()
        tiles.shutdown()


def _pixel() -> bytes:
    import numpy as np

    return encode_png(np.full((256, 256, 3), 200, np.uint8))


PIXEL = _pixel()
