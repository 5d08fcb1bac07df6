"""Generated names: instances and the core node (docs/reference/daemon.md, Names)."""

import hashlib
import secrets
import socket
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

_ADJECTIVES = (
    "agile amber bold brave breezy bright brisk calm candid cheerful clever cosmic crisp curious daring deft eager"
    " earnest elegant fearless festive frosty gentle gifted glad golden graceful happy hardy hasty honest humble jolly"
    " keen kind lively lucid lucky mellow merry mighty modest nimble noble patient playful polite proud quick quiet"
    " rapid serene sharp shiny silent sleek smart snug solid spry steady stoic sunny swift tidy tranquil upbeat vivid"
    " warm wise witty zealous"
)
_SURNAMES = (
    "abel ampere avogadro babbage banach bardeen bell bernoulli bessel bohr boole born bose cantor cauchy chandrasekhar"
    " church clausius cori coulomb curie dalton dirac doppler edison einstein euclid euler faraday fermat fermi feynman"
    " fourier franklin gagarin galileo galois gauss germain goedel hamilton hawking heisenberg hertz hilbert hodgkin"
    " hopper hubble huygens jacobi johnson joule kelvin kepler kovalevskaya lagrange lamarr landau laplace leibniz"
    " lovelace mach maxwell meitner mendel minkowski napier nernst neumann newton nobel noether ohm pascal pasteur"
    " pauli payne planck poincare raman riemann ride rubin rutherford sagan schrodinger shannon somerville tesla"
    " thomson turing volta watt weyl wheeler wien wu yalow zermelo zuse"
)
ADJECTIVES = tuple(_ADJECTIVES.split())
SURNAMES = tuple(_SURNAMES.split())
NUMBERS = 10_000

_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def generated_name(taken: Container[str]) -> str:
    """An `<adjective>-<surname>-<4 digits>` that is not taken."""
    while (name := _name(secrets.randbits(64))) in taken:
        pass
    return name


def core_node_name(root: Path) -> str:
    """The name of the core node of this machine's data root `root`: the same after every restart."""
    digest = hashlib.sha256(f"{_machine_id()}\0{root}".encode()).digest()
    return f"core-node-{_name(int.from_bytes(digest[:8], 'big'))}"


def _name(number: int) -> str:
    number, digits = divmod(number, NUMBERS)
    number, surname = divmod(number, len(SURNAMES))
    return f"{ADJECTIVES[number % len(ADJECTIVES)]}-{SURNAMES[surname]}-{digits:04d}"


def _machine_id() -> str:
    for path in _MACHINE_ID_FILES:
        with suppress(OSError):
            if text := path.read_text().strip():
                return text
    return socket.gethostname()
