"""Services that this node offers."""

from . import log, plan, read_status, reset, set_zero

__all__ = ["log", "plan", "read_status", "reset", "set_zero"]
