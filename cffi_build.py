"""The cffi module peppy.ring._core: csrc/peppy_ring.h is its cdef, csrc/*.c its body (setup.py builds it)."""

from pathlib import Path

from cffi import FFI

CSRC = Path("csrc")

ffibuilder = FFI()
ffibuilder.cdef((CSRC / "peppy_ring.h").read_text().replace("#pragma once", ""))
ffibuilder.set_source(
    "peppy.ring._core",
    '#include <stdint.h>\n#include "peppy_ring.h"',
    sources=[str(path) for path in sorted(CSRC.glob("*.c"))],
    depends=[str(path) for path in sorted(CSRC.glob("*.h"))],
    include_dirs=[str(CSRC)],
    extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
)
