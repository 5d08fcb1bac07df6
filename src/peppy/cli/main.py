"""Where the program `peppy` begins: Ctrl-C has to be harmless before anything is imported that takes its time."""

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line and gives its exit code (docs/reference/cli.md, Exit codes)."""
    try:
        from peppy.cli.interrupts import leave_on_interrupt

        leave_on_interrupt()
    except KeyboardInterrupt:
        return INTERRUPTED

    from peppy.cli.program import run

    return run(arguments)
