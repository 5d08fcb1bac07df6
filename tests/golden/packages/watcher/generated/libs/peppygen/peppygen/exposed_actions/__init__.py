"""Actions that this node offers."""
