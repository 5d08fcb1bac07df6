"""`peppy node`: the commands about one node."""

from peppy.cli.groups import LazyGroup, Verb

command = LazyGroup(
    "node",
    {
        "init": Verb("init", "Create a node from a template."),
        "create": Verb("init"),
        "add": Verb("add", "Add a node to the stack."),
        "build": Verb("build", "Build a node of the stack."),
        "sync": Verb("sync", "Generate the library of a node."),
        "run": Verb("run", "Start an instance of a node."),
        "stop": Verb("stop", "Stop instances."),
        "remove": Verb("remove", "Remove a node from the stack."),
        "info": Verb("node_info", "Tell everything about a node."),
        "logs": Verb("logs", "Show a log of a node or an instance."),
        "prune": Verb("prune", "Drop the records of ended instances."),
    },
    help="Create, add, build, run, stop and look at one node.",
    subcommand_metavar="<command> ...",
    options_metavar="[options]",
)
