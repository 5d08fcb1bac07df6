"""Services that this node offers, inherited from an interface."""

from . import _0_2_0

__all__ = ["_0_2_0"]
