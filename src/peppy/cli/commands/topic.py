"""`peppy topic`: the commands about topics of running nodes."""

from peppy.cli.groups import LATER, LazyGroup, Verb

command = LazyGroup(
    "topic",
    {
        "list": Verb("topic_list", "List the topics of live instances with their rates."),
        "info": LATER,
        "hz": LATER,
        "bw": LATER,
        "echo": LATER,
    },
    help="Look at the topics of running nodes.",
    subcommand_metavar="<command> ...",
    options_metavar="[options]",
)
