"""The `peppy` program (docs/reference/cli.md). Every command is a module of its own, imported when it is used."""
