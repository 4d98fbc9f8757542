"""Write the demo scene: a season of Sentinel-2-like images, reference points and the truth.

python demo/make_scene.py OUT [--size 512] [--dates 24] [--references 40] [--seed N]

OUT/series/S2_YYYYMMDD.tif       B02 B03 B04 B08 SCL, uint16, 10 m, EPSG:32633
OUT/reference_points.gpkg        ref_id, crop, class_code; some labels are wrong
OUT/truth/fields.gpkg            field_id, crop, class_code, area_ha
OUT/truth/crops.tif, field_ids.tif, reference_truth.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from osgeo import gdal, ogr, osr

sys.path.insert(0, str(Path(__file__).resolve().parent))
from furrow_package import register  # noqa: E402

register()

from furrow.core.simulation.landscape import PIXEL  # noqa: E402
from furrow.core.simulation.phenology import CROP_NAMES  # noqa: E402
from furrow.core.simulation.scene import (  # noqa: E402
    BAND_NAMES,
    SCALE,
    Scene,
    SceneSpec,
    simulate,
)

EPSG = 32633
ORIGIN = (641000.0, 5351000.0)
"""Upper left corner: the Marchfeld east of Vienna."""
TILED = ["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256", "COMPRESS=DEFLATE", "PREDICTOR=2"]


@dataclass(frozen=True)
class ScenePaths:
    """Where everything was written; `scene` is the truth itself."""

    folder: Path
    series: Path
    references: Path
    fields: Path
    crops: Path
    field_ids: Path
    reference_truth: Path
    scene: Scene


def write_scene(folder: str | Path, spec: SceneSpec | None = None) -> ScenePaths:
    """Draw the scene and write all its files; those that exist are overwritten."""
    folder = Path(folder)
    scene = simulate(spec or SceneSpec())
    truth = folder / "truth"
    paths = ScenePaths(
        folder=folder,
        series=folder / "series",
        references=folder / "reference_points.gpkg",
        fields=truth / "fields.gpkg",
        crops=truth / "crops.tif",
        field_ids=truth / "field_ids.tif",
        reference_truth=truth / "reference_truth.csv",
        scene=scene,
    )
    paths.series.mkdir(parents=True, exist_ok=True)
    truth.mkdir(exist_ok=True)
    for day, image in scene.iter_images():
        write_image(paths.series / f"S2_{day:%Y%m%d}.tif", image, day)
    write_labels(paths.crops, scene.crop_map, gdal.GDT_Byte)
    write_labels(paths.field_ids, scene.landscape.fields, gdal.GDT_UInt16)
    write_fields(paths.fields, paths.field_ids, scene)
    write_references(paths.references, scene)
    write_reference_truth(paths.reference_truth, scene)
    return paths


def map_point(x: float, y: float) -> tuple[float, float]:
    """Map coordinates of a pixel position (x right, y down)."""
    return ORIGIN[0] + x * PIXEL, ORIGIN[1] - y * PIXEL


def write_image(path: Path, image: np.ndarray, day: date) -> None:
    """One date: uint16 (5, H, W) with band names, scale and the date as tags."""
    data = _create(path, image.shape, gdal.GDT_UInt16)
    data.SetMetadataItem("TIFFTAG_DATETIME", f"{day:%Y:%m:%d} 10:00:00")
    for number, (name, values) in enumerate(zip(BAND_NAMES, image), start=1):
        band = data.GetRasterBand(number)
        band.SetDescription(name)
        if name != "SCL":
            band.SetScale(SCALE)
        band.WriteArray(values)


def write_labels(path: Path, labels: np.ndarray, kind: int) -> None:
    """A label raster (H, W), 0 where there is none."""
    data = _create(path, (1, *labels.shape), kind)
    data.GetRasterBand(1).WriteArray(labels)


def _create(path: Path, shape: Sequence[int], kind: int) -> gdal.Dataset:
    """An empty tiled GeoTIFF on the scene's grid; hold it while writing, it closes when let go."""
    bands, rows, columns = shape
    data = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, bands, kind, TILED)
    if data is None:
        raise OSError(f"{path} cannot be written: {gdal.GetLastErrorMsg()}")
    data.SetGeoTransform((ORIGIN[0], PIXEL, 0.0, ORIGIN[1], 0.0, -PIXEL))
    data.SetProjection(_srs().ExportToWkt())
    for number in range(1, bands + 1):
        data.GetRasterBand(number).SetNoDataValue(0)
    return data


def _srs() -> osr.SpatialReference:
    srs = osr.SpatialReference()
    srs.ImportFromEPSG(EPSG)
    return srs


def _create_layer(
    path: Path, kind: int, fields: dict[str, int]
) -> tuple[ogr.DataSource, ogr.Layer]:
    """A new GeoPackage with one layer named like the file; keep the source while writing."""
    driver = ogr.GetDriverByName("GPKG")
    if path.exists():
        driver.DeleteDataSource(str(path))
    source = driver.CreateDataSource(str(path))
    if source is None:
        raise OSError(f"{path} cannot be written: {gdal.GetLastErrorMsg()}")
    layer = source.CreateLayer(path.stem, _srs(), kind)
    for name, field_kind in fields.items():
        layer.CreateField(ogr.FieldDefn(name, field_kind))
    return source, layer


def write_fields(path: Path, field_ids: Path, scene: Scene) -> None:
    """One polygon a field along the pixel edges of the field id raster."""
    fields = {
        "field_id": ogr.OFTInteger,
        "crop": ogr.OFTString,
        "class_code": ogr.OFTInteger,
        "area_ha": ogr.OFTReal,
    }
    source, layer = _create_layer(path, ogr.wkbPolygon, fields)
    raster = gdal.Open(str(field_ids))
    band = raster.GetRasterBand(1)
    layer.StartTransaction()
    # Band as its own mask: pixels of no field (0) make no polygon.
    gdal.Polygonize(band, band, layer, 0)
    for feature in list(layer):
        code = int(scene.traits.crop[feature["field_id"]])
        feature["crop"] = CROP_NAMES[code]
        feature["class_code"] = code
        feature["area_ha"] = feature.geometry().GetArea() / 1e4
        layer.SetFeature(feature)
    layer.CommitTransaction()


def write_references(path: Path, scene: Scene) -> None:
    """The points as a surveyor would hand them in; nothing tells which labels are wrong."""
    fields = {"ref_id": ogr.OFTInteger, "crop": ogr.OFTString, "class_code": ogr.OFTInteger}
    source, layer = _create_layer(path, ogr.wkbPoint, fields)
    layer.StartTransaction()
    for reference in scene.references:
        feature = ogr.Feature(layer.GetLayerDefn())
        feature["ref_id"] = reference.ref_id
        feature["crop"] = CROP_NAMES[reference.label]
        feature["class_code"] = reference.label
        point = ogr.Geometry(ogr.wkbPoint)
        point.AddPoint_2D(*map_point(reference.x, reference.y))
        feature.SetGeometry(point)
        layer.CreateFeature(feature)
    layer.CommitTransaction()


def write_reference_truth(path: Path, scene: Scene) -> None:
    """What really grows at each reference point."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ref_id", "label", "true_class", "wrong", "field_id"])
        for r in scene.references:
            writer.writerow([r.ref_id, r.label, r.true_class, int(r.wrong), r.field_id])


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = SceneSpec()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write; made if it does not exist")
    parser.add_argument("--size", type=int, default=default.size, help="pixels along a side")
    parser.add_argument("--dates", type=int, default=default.dates, help="number of images")
    parser.add_argument("--references", type=int, default=default.references, help="points")
    parser.add_argument("--wrong-labels", type=int, default=default.wrong_labels)
    parser.add_argument("--seed", type=int, default=default.seed, help="same seed, same scene")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    chosen = vars(_arguments(arguments))
    start = time.perf_counter()
    paths = write_scene(chosen.pop("out"), SceneSpec(**chosen))
    scene = paths.scene
    seconds = time.perf_counter() - start
    print(
        f"{len(scene.dates)} images, {scene.landscape.field_count} fields, "
        f"{len(scene.references)} reference points in {paths.folder} ({seconds:.1f} s)"
    )


if __name__ == "__main__":
    main()
