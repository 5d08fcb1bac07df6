"""Actions that this node offers."""

from . import dock, move, patrol, wave

__all__ = ["dock", "move", "patrol", "wave"]
