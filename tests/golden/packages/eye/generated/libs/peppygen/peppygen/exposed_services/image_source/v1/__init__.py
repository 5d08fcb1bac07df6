"""Services that this node offers, inherited from an interface."""

from . import zoom

__all__ = ["zoom"]
