"""What peppy keeps on disk, below one data root (docs/reference/daemon.md, Data root)."""
