"""Topics that this node reads."""
