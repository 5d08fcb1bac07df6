"""Hostile and honest tar archives, entry by entry."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import zstandard

Part = tuple[tarfile.TarInfo, bytes]


def entry(name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> Part:
    """One entry; its size is that of its content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    return info, content


def symbolic(name: str, link: str) -> Part:
    return entry(name, kind=tarfile.SYMTYPE, link=link)


def hard(name: str, link: str) -> Part:
    return entry(name, kind=tarfile.LNKTYPE, link=link)


def directory(name: str, mode: int = 0o755) -> Part:
    return entry(name, kind=tarfile.DIRTYPE, mode=mode)


def tar_bytes(*parts: Part) -> bytes:
    """A tar archive with exactly these entries, whatever they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in parts:
            tar.addfile(info, io.BytesIO(content) if content else None)
    return buffer.getvalue()


def raw_header(name: bytes, size: bytes, kind: bytes) -> bytes:
    """One header block with a right checksum and fields that tarfile would not write."""
    header = bytearray(512)
    header[0 : len(name)] = name
    header[100:108] = b"0000644\0"
    header[108:124] = b"0000000\0" * 2
    header[124 : 124 + len(size)] = size
    header[136:148] = b"00000000000\0"
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 512)


def pax(record: bytes, kind: bytes = b"x") -> bytes:
    """An extended header with one record, `key=value`."""
    length = len(record) + 3
    while len(b"%d %s\n" % (length, record)) != length:
        length += 1
    content = b"%d %s\n" % (length, record)
    return raw_header(b"pax", b"%011o\0" % len(content), kind) + padded(content)


def write_archive(path: Path, content: bytes) -> Path:
    """Compresses a tar archive."""
    path.write_bytes(zstandard.ZstdCompressor().compress(content))
    return path


def write_stream(path: Path, produce: Callable[[Callable[[bytes], object]], None]) -> Path:
    """Compresses what `produce` writes, without holding it in memory."""
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as stream:
        produce(stream.write)
    return path
