"""The daemon: owner of the node stack, of its instances and of all names (docs/reference/daemon.md)."""
