"""How the fields of a tile are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class DelineationOptions:
    """Defaults are what measures best (`bench/bench_delineation.py`); lengths are in pixels."""

    rounds: int = 2
    """At most so many. The first asks in every region that edges leave, so later ones find little:
    the second some hundredths of the area, a third next to nothing."""
    points_per_side: int = 32
    """The grid of prompts has so many places along a side of the tile."""
    pred_iou: float = 0.3
    """Masks that the engine expects a lower IoU of are left out."""
    stability: float = 0.5
    """Fields that come out less alike (IoU) when asked for at another place are left out."""
    least_pixels: int = 10
    """Smaller pieces are left out."""
    growth: int = 2
    """Width around found fields where nothing more is looked for."""
    stop_residual: float = 0.05
    """Rounds end when this share of the valid pixels or less is left."""
    min_gain: float = 0.005
    """Rounds end when one adds less than this share of the valid pixels."""
    overlap_limits: Tuple[float, ...] = (0.5,)
    """Per round, the last one for all others: masks of which this share or more is found already
    are left out."""
    levels: Tuple[float, ...] = (0.35, 0.25)
    """Per round, likewise: one prompt in each region that no edge above this chance divides."""
    grid_from: int = 3
    """First round that also asks at the grid."""
    texture_from: int = 3
    """First round that asks nothing where edges are dense: woods, villages."""
    spare: bool = True
    """Ask nothing within masks that need no second answer; see `Sight.reliable`."""
    regions: bool = True
    """Masks are brought to the edges that they nearly follow."""
    zoom: Optional[int] = None
    """Enlargement of the picture for the engine, 1 or 2; None: 2 where fields are small."""

    @classmethod
    def reference(cls) -> DelineationOptions:
        """The constants of the reference system (specification B1)."""
        return cls(
            rounds=4,
            pred_iou=0.88,
            stability=0.95,
            least_pixels=50,
            growth=3,
            overlap_limits=(1.0, 0.5, 0.9, 0.9),
            levels=(),
            grid_from=1,
            spare=False,
            regions=False,
            zoom=1,
        )

    def overlap_limit(self, number: int) -> float:
        """For a round, the first is 1."""
        return self.overlap_limits[min(number, len(self.overlap_limits)) - 1]

    def level(self, number: int) -> Optional[float]:
        """For a round; None: no prompts but the grid's."""
        return self.levels[min(number, len(self.levels)) - 1] if self.levels else None
