"""What the daemon, the command line and node processes say to each other (docs/design/protocol.md)."""

PROTOCOL_VERSION = 1
"""Raised with every change of a frame; two sides of different versions refuse each other."""
