"""Services that this node offers, inherited from an interface."""

from . import switch

__all__ = ["switch"]
