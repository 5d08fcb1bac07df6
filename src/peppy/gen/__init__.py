"""Generate `peppygen`, the package of one node, and new nodes (docs/reference/node_api.md).

One module per kind of emitted file makes texts; `package` puts them into `{path: text}` and writes them at the end.
"""
