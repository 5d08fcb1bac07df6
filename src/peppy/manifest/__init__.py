"""Documents: JSON5 text becomes `peppy.model`, or every problem of it with file, line, column and dotted path.

`node.read_node` and `node.parse_node` read a `peppy.json5`, `interface.parse_interface` an interface document,
`variants.select_variant` decides what a snapshot of a node consists of (docs/reference/manifest.md).
"""
