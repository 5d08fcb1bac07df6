"""Processes of nodes and builds: started under a shim, watched, stopped, and their logs (docs/reference/daemon.md)."""
