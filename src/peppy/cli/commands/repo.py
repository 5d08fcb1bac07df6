"""`peppy repo`: the places that nodes, launchers and interfaces come from."""

from peppy.cli.groups import LazyGroup, Verb

command = LazyGroup(
    "repo",
    {
        "init": Verb("repo_init", "Create the list of repositories, to edit it by hand."),
        "list": Verb("repo_list", "List repositories and what they hold."),
        "refresh": Verb("repo_refresh", "Read all repositories again."),
        "update": Verb("repo_refresh"),
        "add": Verb("repo_add", "Register a directory as a repository."),
        "remove": Verb("repo_remove", "Forget a repository."),
    },
    help="Look after repositories: directories that hold nodes, launchers and interfaces.",
    subcommand_metavar="<command> ...",
    options_metavar="[options]",
)
