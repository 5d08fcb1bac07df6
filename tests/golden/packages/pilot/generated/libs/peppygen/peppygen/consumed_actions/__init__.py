"""Actions that this node calls."""

from . import any_base_move, base_dock, base_patrol, base_wave

__all__ = ["any_base_move", "base_dock", "base_patrol", "base_wave"]
