"""Services that this node offers, inherited from an interface."""

from . import v1

__all__ = ["v1"]
