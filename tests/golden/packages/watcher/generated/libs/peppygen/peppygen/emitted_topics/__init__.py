"""Topics that this node emits."""
