"""Types of the module that csrc/python/floats.c makes."""

def doubles(value: object, count: int, /) -> tuple[float, ...] | None:
    """The elements of a list or tuple of `count` floats; None for everything else."""

def singles(value: object, count: int, /) -> tuple[float, ...] | None:
    """The same, rounded to the nearest single; None too when one is too large for that."""
