"""`peppy service`: the commands about the daemon."""

from peppy.cli.groups import LATER, LazyGroup, Verb

command = LazyGroup(
    "service",
    {
        "serve": Verb("serve", "Be the daemon, in the foreground."),
        "start": Verb("start", "Start the daemon."),
        "stop": Verb("service_stop", "Stop all instances, then the daemon."),
        "status": Verb("status", "Tell whether the daemon is running."),
        "reset": Verb("reset", "Stop all instances and empty the stack."),
        "install": LATER,
        "uninstall": LATER,
    },
    help="Start, stop and look at the daemon that runs the nodes.",
    subcommand_metavar="<command> ...",
    options_metavar="[options]",
)
