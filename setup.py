"""What pyproject.toml cannot say: the cffi module, the shim program beside it, and the abi3 tag of the one wheel."""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext


def python_module(name: str, *sources: str) -> Extension:
    """A module of its own, for every Python from 3.11 on."""
    return Extension(
        name,
        sources=list(sources),
        depends=["csrc/peppy_ring.h", "csrc/python/calls.h"],
        include_dirs=["csrc"],
        define_macros=[("Py_LIMITED_API", "0x030b0000")],
        py_limited_api=True,
        extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
    )


class Program(Extension):
    """A plain C program that ships inside the package, under peppy/_bin/."""


class BuildWithPrograms(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        extension = self.ext_map.get(fullname)
        if isinstance(extension, Program):
            *package, name = fullname.split(".")
            return str(Path(*package, name.replace("_", "-")))
        return super().get_ext_filename(fullname)

    def copy_extensions_to_source(self) -> None:
        """An editable install puts the program into the source tree, where its directory is not tracked."""
        Path("src/peppy/_bin").mkdir(exist_ok=True)
        super().copy_extensions_to_source()

    def build_extension(self, ext: Extension) -> None:
        if not isinstance(ext, Program):
            super().build_extension(ext)
            return
        objects = self.compiler.compile(
            ext.sources, output_dir=self.build_temp, extra_postargs=ext.extra_compile_args, depends=ext.depends
        )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_executable(
            objects, target.name, output_dir=str(target.parent), extra_postargs=ext.extra_link_args
        )

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return [] if isinstance(ext, Program) else super().get_export_symbols(ext)


class Abi3Wheel(bdist_wheel):
    def finalize_options(self) -> None:
        self.py_limited_api = "cp311"
        super().finalize_options()


setup(
    cffi_modules=["cffi_build.py:ffibuilder"],
    ext_modules=[
        python_module("peppy.ring._calls", "csrc/python/calls.c", "csrc/python/feed.c"),
        python_module("peppy.loop._wait", "csrc/python/wait.c"),
        python_module("peppy.codec._floats", "csrc/python/floats.c"),
        Program(
            "peppy._bin.peppy_shim",
            sources=sorted(str(source) for source in Path("csrc/shim").glob("*.c")),
            depends=sorted(str(header) for header in Path("csrc/shim").glob("*.h")),
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-pthread"],
            extra_link_args=["-pthread"],
        ),
    ],
    cmdclass={"build_ext": BuildWithPrograms, "bdist_wheel": Abi3Wheel},
)
