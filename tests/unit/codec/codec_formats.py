"""Formats and payloads that several tests of the codec use."""

from typing import Any

from peppy.codec import Gathered, Plan, plan_of

IMU = '[["stamp","time",0],["quaternion",["f32",4],0],["level","u8",0]]'
FRAMES = (
    '[["header",[["seq","u32",0],["stamp","time",0],["frame_id","string",0]],0],["width","u32",0],["height","u32",0],'
    '["note","string",1],["frame",["u8",0],0],["depths",["f32",0],0],["mask","bytes",1]]'
)
BOXES = (
    '[["boxes",[[["label","string",0],["corner",["i16",2],0],["scores",["f32",0],0],["raw","bytes",0],'
    '["tiny",["u8",3],0],["at",[["x","f64",0]],0]],0],0]]'
)
IMAGE = '[["image",[["width","u16",0],["data",["u8",0],0],["lut",["u16",20],0]],1],["tail","string",0]]'


def plan(text: str | None) -> Plan[Any]:
    return plan_of("member", text, {})


def joined(encoded: bytes | Gathered) -> bytes:
    """The payload in one piece."""
    if isinstance(encoded, bytes):
        return encoded
    payload = bytearray(encoded.length)
    payload[: len(encoded.head)] = encoded.head
    for buffer, offset in encoded.parts:
        octets = memoryview(buffer).cast("B")
        payload[offset : offset + len(octets)] = octets
    return bytes(payload)
