"""File descriptors for many goals at a time: each takes about six at its server and three at its client."""

import resource

WANTED = 16384
"""Enough for 1 024 live goals of an action and 1 024 of a client (docs/reference/services_actions.md, Limits)."""


def allow_many() -> None:
    """Let this process have more descriptors than shells allow by default, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
