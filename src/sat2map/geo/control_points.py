"""Rasters without an exact transform: ground control points (GCPs) and rational polynomials (RPCs)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyproj
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from sat2map.geo.crs import ground_distances

if TYPE_CHECKING:
    import rasterio

EXACT = 0.1  # px; GCPs that lie within this of one affine transform are that transform


@dataclass(frozen=True)
class ControlPoints:
    """What says where a raster lies without a transform: GCPs in pixels and coordinates of `crs`, or RPCs."""

    points: tuple[GroundControlPoint, ...]
    crs: CRS | None
    rpcs: RPC | None

    @property
    def kind(self) -> str:
        """What they are called in messages."""
        return f"{len(self.points)} ground control points (GCPs)" if self.points else "RPCs"

    def moved(self, left: float = 0, top: float = 0, across: float = 1, down: float = 1) -> ControlPoints:
        """Return them for a raster that begins at another pixel, or of other pixels.

        Args:
            left: The column at which it begins.
            top: The row.
            across: How many times as wide its pixels are.
            down: How many times as high.
        """
        points = tuple(
            GroundControlPoint((p.row - top) / down, (p.col - left) / across, p.x, p.y, p.z, p.id, p.info)
            for p in self.points
        )
        rpcs = self.rpcs
        if rpcs is not None:  # an RPC counts from the middle of the first pixel
            moved = {
                "samp_off": (rpcs.samp_off + 0.5 - left) / across - 0.5,
                "line_off": (rpcs.line_off + 0.5 - top) / down - 0.5,
                "samp_scale": rpcs.samp_scale / across,
                "line_scale": rpcs.line_scale / down,
            }
            rpcs = RPC(**{**rpcs.to_dict(), **moved})
        return replace(self, points=points, rpcs=rpcs)

    def fitted(self) -> tuple[Affine, float] | None:
        """Return the affine transform nearest to the GCPs, and the largest distance from it (px).

        None with fewer than three points, or all of them on one line.
        """
        if len(self.points) < 3:
            return None
        pixels = np.array([(p.col, p.row, 1.0) for p in self.points])
        ground = np.array([(p.x, p.y) for p in self.points])
        middle = ground.mean(axis=0)  # or large coordinates would cost digits
        found, _, rank, _ = np.linalg.lstsq(pixels, ground - middle, rcond=None)
        if rank < 3:
            return None
        transform = Affine(*found[:, 0], *found[:, 1])
        if not transform.determinant:
            return None
        back = np.array([~transform @ (x, y) for x, y in ground - middle])
        worst = float(np.hypot(*(back - pixels[:, :2]).T).max())
        return Affine.translation(*middle) @ transform, worst

    def metres(self, height: int, width: int) -> tuple[float, float] | None:
        """Return width and height of the middle pixel in metres; None where they are unknown."""
        column, row = width / 2, height / 2
        pixels = [(column, row), (column + 1, row), (column, row + 1)]
        if self.points:
            fit = self.fitted()
            if fit is None or self.crs is None:
                return None
            places = [fit[0] @ pixel for pixel in pixels]
            crs = pyproj.CRS(self.crs.to_wkt())
        else:
            assert self.rpcs is not None
            columns, rows = zip(*pixels, strict=True)
            with RPCTransformer(self.rpcs, rpc_height=self.rpcs.height_off) as transformer:
                xs, ys = transformer.xy(rows, columns, offset="ul")
            places = list(zip(xs, ys, strict=True))
            crs = pyproj.CRS("OGC:CRS84")
        return ground_distances(crs, places)


def read_control_points(dataset: rasterio.DatasetReader) -> ControlPoints | None:
    """Return a raster's GCPs or RPCs; None where it has neither."""
    points, crs = dataset.gcps
    if not points and dataset.rpcs is None:
        return None
    return ControlPoints(tuple(points), crs or dataset.crs or None, dataset.rpcs)
