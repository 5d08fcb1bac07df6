"""Services that this node calls."""
