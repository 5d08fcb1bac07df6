"""Who depends on whom and who reads from whom: pure functions over the model, no I/O."""
