"""`peppy stack`: the commands about the whole stack."""

from peppy.cli.groups import LATER, LazyGroup, Verb

command = LazyGroup(
    "stack",
    {
        "list": Verb("stack_list", "List nodes, instances, bindings and dependencies."),
        "graph": LATER,
        "launch": LATER,
        "benchmark": LATER,
    },
    help="Look at the whole stack of nodes.",
    subcommand_metavar="<command> ...",
    options_metavar="[options]",
)
