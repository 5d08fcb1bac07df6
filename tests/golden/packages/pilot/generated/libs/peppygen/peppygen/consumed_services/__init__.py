"""Services that this node calls."""

from . import any_base_read_status, base_log, base_plan, base_reset, base_set_zero

__all__ = ["any_base_read_status", "base_log", "base_plan", "base_reset", "base_set_zero"]
