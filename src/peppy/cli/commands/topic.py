"""`peppy topic`: the commands about topics of running nodes."""

from peppy.cli.groups import LazyGroup, Verb

command = LazyGroup(
    "topic",
    {
        "list": Verb("topic_list", "List the topics of live instances with their rates."),
        "info": Verb("topic_info", "Tell everything about one topic."),
        "hz": Verb("topic_hz", "Print the rate of topics."),
        "bw": Verb("topic_bw", "Print how many bytes a second topics carry."),
        "echo": Verb("topic_echo", "Print the messages of a topic."),
    },
    help="Look at the topics of running nodes.",
    subcommand_metavar="<command> ...",
    options_metavar="[options]",
)
