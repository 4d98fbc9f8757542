"""Pictures of layers without pixels of their own, from a real server on this machine."""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from qgis.core import QgsApplication, QgsPointXY, QgsRasterBlockFeedback, QgsRasterLayer, QgsTask
from qgis.PyQt.QtCore import QBuffer, QByteArray, QIODevice
from qgis.PyQt.QtGui import QImage

from furrow.core.errors import BandError, Cancelled, RasterError
from furrow.core.imagery.grid import Window
from furrow.core.imagery.pictures import Picture
from furrow.qgis_io.layer_pictures import LayerLook, LayerPictures, Look, is_web, looks_of

STYLED, BANDS = LayerLook(Look.STYLED), LayerLook(Look.BANDS)
PYRAMID = 156543.03392804097

pytestmark = pytest.mark.usefixtures("qgis_app")


class TileServer:
    """Tiles and maps over HTTP, whose colours say which tile or place they are of."""

    def __init__(self) -> None:
        self.mode = "well"
        self.asked: list[str] = []
        self.free = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # QGIS keeps tiles by address and the system may give a port a second time, so the path is
        # new for each server: no tile of an earlier one is taken for one of this.
        self.root = f"/{uuid.uuid4().hex}"
        self.address = f"http://127.0.0.1:{self._server.server_port}{self.root}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.free.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                if server.mode == "silent":
                    server.free.wait(60)
                if server.mode != "well":
                    self.send_error(500)
                    return
                kind, body = server.answer(self.path)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, path: str) -> tuple[str, bytes]:
        asked = {k.lower(): v[0] for k, v in parse_qs(urlparse(path).query).items()}
        if asked.get("request") == "GetCapabilities":
            return "text/xml", CAPABILITIES.replace("ADDRESS", self.address).encode()
        if asked.get("request") == "GetMap":
            box = [float(number) for number in asked["bbox"].split(",")]
            return "image/png", png(map_of(box, int(asked["width"]), int(asked["height"])))
        z, x, y = (int(part) for part in path.split(".png")[0].split("/")[-3:])
        return "image/png", png(tile_of(z, x, y))


def tile_of(z: int, x: int, y: int) -> np.ndarray:
    """(256, 256, 4): the tile's column and row, and the zoom level; a corner is transparent."""
    colours = np.zeros((256, 256, 4), dtype=np.uint8)
    colours[...] = x % 256, y % 256, z, 255
    colours[:8, :8, 3] = 0
    return colours


def map_of(box: list[float], width: int, height: int) -> np.ndarray:
    """(h, w, 4): hundreds of metres from the map's corner at each pixel's centre."""
    x = box[0] + (np.arange(width) + 0.5) * (box[2] - box[0]) / width
    y = box[3] - (np.arange(height) + 0.5) * (box[3] - box[1]) / height
    colours = np.full((height, width, 4), 255, dtype=np.uint8)
    colours[..., 0] = (x - 500000) // 100 % 256
    colours[..., 1] = ((6300000 - y) // 100 % 256)[:, None]
    return colours


def png(colours: np.ndarray) -> bytes:
    height, width, _ = colours.shape
    image = QImage(np.ascontiguousarray(colours).tobytes(), width, height, 4 * width,
                   QImage.Format.Format_RGBA8888)  # fmt: skip
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(data)


CAPABILITIES = """<?xml version="1.0"?>
<WMT_MS_Capabilities version="1.1.1"><Service><Name>WMS</Name><Title>t</Title></Service>
<Capability><Request>
<GetCapabilities><Format>text/xml</Format><DCPType><HTTP><Get><OnlineResource
 xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="ADDRESS/?"/></Get></HTTP></DCPType>
</GetCapabilities>
<GetMap><Format>image/png</Format><DCPType><HTTP><Get><OnlineResource
 xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="ADDRESS/?"/></Get></HTTP></DCPType></GetMap>
</Request><Layer><Title>t</Title><SRS>EPSG:25832</SRS>
<Layer><Name>photo</Name><Title>photo</Title><SRS>EPSG:25832</SRS>
<LatLonBoundingBox minx="9" miny="56" maxx="9.8" maxy="56.8"/>
<BoundingBox SRS="EPSG:25832" minx="500000" miny="6200000" maxx="540000" maxy="6300000"/>
</Layer></Layer></Capability></WMT_MS_Capabilities>
"""


@pytest.fixture
def server() -> Iterator[TileServer]:
    running = TileServer()
    yield running
    running.stop()


def tiles(server: TileServer, more: str = "zmin=0&zmax=18") -> QgsRasterLayer:
    layer = QgsRasterLayer(
        f"type=xyz&url={server.address}/{{z}}/{{x}}/{{y}}.png&{more}", "tiles 2023-06-17", "wms"
    )
    assert layer.isValid()
    return layer


class Reading(QgsTask):
    """A task that reads, as the plugin's own does."""

    def __init__(self, read: Callable[[], Picture]) -> None:
        super().__init__("reading", QgsTask.Flag.CanCancel)
        self.found: Optional[Picture] = None
        self.error: Optional[Exception] = None
        self._read = read

    def run(self) -> bool:
        try:
            self.found = self._read()
        except (RasterError, Cancelled) as error:
            self.error = error
        return True


def in_task(read: Callable[[], Picture], while_it_runs: Callable[[], None] = lambda: None) -> Any:
    """What reading in a QgsTask gives; errors are raised here."""
    task, ended = Reading(read), time.monotonic() + 60
    QgsApplication.taskManager().addTask(task)
    while_it_runs()
    over = (QgsTask.TaskStatus.Complete, QgsTask.TaskStatus.Terminated)
    while task.status() not in over and time.monotonic() < ended:
        QgsApplication.processEvents()
        time.sleep(0.01)
    if task.error is not None:
        raise task.error
    return task.found


DENMARK = QgsPointXY(1020000, 7630000)
"""Web Mercator; 56.3 degrees north, where a pixel of zoom level 14 covers 5.3 m."""


def place(pictures: LayerPictures, point: QgsPointXY) -> tuple[int, int]:
    """Row and column of a place."""
    x, y = pictures.grid.to_pixel(point.x(), point.y())
    return int(y), int(x)


def expected_tiles(zoom: int, window: Window) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.mgrid[window.slices]
    colours = np.stack(
        [cols // 256 % 256, rows // 256 % 256, np.full_like(rows, zoom)], axis=-1
    ).astype(np.uint8)
    clear = (rows % 256 < 8) & (cols % 256 < 8)
    colours[clear] = 0
    return colours, ~clear


def test_web_tiles_are_read_pixel_by_pixel(server):
    layer = tiles(server)
    assert is_web(layer) and looks_of(layer) == (Look.STYLED,)
    pictures = LayerPictures(layer, STYLED, 10.0, DENMARK)
    assert pictures.grid.transform[1] == pytest.approx(PYRAMID / 2**14)
    assert pictures.grid.width == pictures.grid.height == 256 * 2**14
    assert (pictures.name, pictures.date) == ("tiles 2023-06-17", dt.date(2023, 6, 17))
    window = pictures.grid.window_around(*place(pictures, DENMARK), 600)
    picture = in_task(lambda: pictures.read(window))
    colours, valid = expected_tiles(14, window)
    assert (picture.valid == valid).all() and not valid.all()
    assert (picture.image == colours).all()
    assert (
        all(path.startswith(f"{server.root}/14/") for path in server.asked)
        and len(server.asked) <= 16
    )


def test_web_tiles_are_read_in_plain_threads_without_their_layer(server):
    layer = tiles(server)
    pictures = LayerPictures(layer, STYLED, 10.0, DENMARK)
    del layer
    row, col = place(pictures, DENMARK)
    windows = [pictures.grid.window_around(row + 300 * k, col - 500, 256) for k in range(6)]
    with ThreadPoolExecutor(3) as pool:
        for window, picture in zip(windows, pool.map(pictures.read, windows, timeout=60)):
            colours, valid = expected_tiles(14, window)
            assert (picture.valid == valid).all() and (picture.image == colours).all()


def test_the_last_tile_is_read(server):
    pictures = LayerPictures(tiles(server), STYLED, 40.0, DENMARK)
    for row, col in ((0, 0), (pictures.grid.height - 256, pictures.grid.width - 256)):
        window = Window(row, col, 256, 256)
        colours, valid = expected_tiles(12, window)
        picture = in_task(lambda window=window: pictures.read(window))
        assert (picture.valid == valid).all() and (picture.image == colours).all()


@pytest.mark.parametrize(
    ("metres", "more", "zoom"),
    [(10.0, "zmin=0&zmax=18", 14), (5.0, "zmin=0&zmax=18", 15), (1.0, "zmin=0&zmax=18", 17),
     (0.01, "zmin=0&zmax=18", 18), (10.0, "zmin=0&zmax=11", 11)],
)  # fmt: skip
def test_the_zoom_level_suits_the_ground(server, metres, more, zoom):
    layer = tiles(server, more)
    pictures = LayerPictures(layer, STYLED, metres, DENMARK)
    assert pictures.grid.transform[1] == pytest.approx(PYRAMID / 2**zoom)
    moved = QgsPointXY(DENMARK.x() + 900, DENMARK.y() - 700)
    assert LayerPictures(layer, STYLED, metres, moved).key == pictures.key


def test_a_map_service_is_read_in_its_own_reference_system(server):
    layer = QgsRasterLayer(
        "contextualWMSLegend=0&crs=EPSG:25832&format=image/png&layers=photo&styles="
        f"&url={server.address}/", "photo", "wms",
    )  # fmt: skip
    assert layer.isValid() and is_web(layer)
    pictures = LayerPictures(layer, STYLED, 10.0, QgsPointXY(512345, 6245678))
    assert pictures.grid.transform == (500000.0, 8.0, 0.0, 6300000.0, 0.0, -8.0)
    assert (pictures.grid.width, pictures.grid.height) == (5000, 12500)
    window = Window(6000, 1200, 200, 300)
    picture = in_task(lambda: pictures.read(window))
    rows, cols = np.mgrid[window.slices]
    assert picture.valid.all()
    assert (picture.image[..., 0] == (cols * 8 + 4) // 100 % 256).all()
    assert (picture.image[..., 1] == (rows * 8 + 4) // 100 % 256).all()


def nothing_or_error(read: Callable[[], Picture]) -> None:
    """QGIS tells of a failed tile only in later versions."""
    started = time.monotonic()
    try:
        assert not in_task(read).valid.any()
    except RasterError as error:
        assert "tiles" in str(error)
    assert time.monotonic() - started < 20


def test_a_service_that_fails_or_is_gone_ends_in_seconds(server):
    pictures = LayerPictures(tiles(server), STYLED, 10.0, DENMARK)
    row, col = place(pictures, DENMARK)
    server.mode = "broken"
    nothing_or_error(lambda: pictures.read(Window(row, col + 3000, 300, 300)))
    assert server.asked
    server.stop()
    nothing_or_error(lambda: pictures.read(Window(row, col + 6000, 300, 300)))


def test_a_failed_tile_is_asked_for_again(server):
    pictures = LayerPictures(tiles(server), STYLED, 10.0, DENMARK)
    window = pictures.grid.window_around(*place(pictures, DENMARK), 100)
    server.mode = "broken"
    nothing_or_error(lambda: pictures.read(window))
    server.mode = "well"
    assert in_task(lambda: pictures.read(window)).valid.any()


def test_reading_from_a_silent_service_can_be_cancelled(server):
    pictures = LayerPictures(tiles(server), STYLED, 10.0, DENMARK)
    server.mode = "silent"
    window = pictures.grid.window_around(*place(pictures, DENMARK), 300)
    feedback = QgsRasterBlockFeedback()
    started = time.monotonic()

    def cancel() -> None:
        while not server.asked and time.monotonic() - started < 20:
            QgsApplication.processEvents()
            time.sleep(0.01)
        feedback.cancel()

    with pytest.raises(Cancelled):
        in_task(lambda: pictures.read(window, feedback), cancel)
    assert time.monotonic() - started < 20


def test_a_place_that_is_not_on_earth_is_refused(server):
    with pytest.raises(RasterError, match="tiles.*within its extent"):
        LayerPictures(tiles(server), STYLED, 10.0, QgsPointXY(float("nan"), 0.0))


def test_web_layers_have_no_bands(server):
    with pytest.raises(BandError, match="tiles"):
        LayerPictures(tiles(server), BANDS, 10.0, DENMARK)
