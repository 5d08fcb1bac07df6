"""Frozen data that is valid once it exists; no I/O. `peppy.manifest` makes it from documents."""
