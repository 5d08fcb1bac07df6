"""Services that this node offers."""
