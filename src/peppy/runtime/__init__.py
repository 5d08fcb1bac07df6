"""What a node program runs on. Generated packages (`peppygen`) are the door to it (docs/reference/node_api.md)."""

from peppy.model.qos import QoSProfile
from peppy.runtime.builder import NodeBuilder
from peppy.runtime.package import Package
from peppy.runtime.runner import NodeRunner
from peppy.runtime.standalone import StandaloneConfig

__all__ = ["NodeBuilder", "NodeRunner", "Package", "QoSProfile", "StandaloneConfig"]
