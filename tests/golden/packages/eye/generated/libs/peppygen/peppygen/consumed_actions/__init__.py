"""Actions that this node calls."""
