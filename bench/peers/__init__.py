"""Other middlewares, each used as its authors recommend. They are optional: `pip install --group bench`.

A module has two roles of one request/response measurement, which run in processes of their own (bench/service.py).
"""

from importlib.util import find_spec

PACKAGES = {"zenoh": "eclipse-zenoh", "iceoryx2": "iceoryx2"}
"""The package to install, by the module to import, which is also the peer's name in the rows."""


def installed() -> list[str]:
    """The peers that this interpreter can import."""
    return [module for module in PACKAGES if find_spec(module) is not None]


def missing() -> list[str]:
    """The others."""
    return [module for module in PACKAGES if module not in installed()]
