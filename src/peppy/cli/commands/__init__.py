"""One module per command; its `command` is what `peppy.cli.program` offers under that name."""
