"""One module per command; its `command` is what `peppy.cli.main` offers under that name."""
