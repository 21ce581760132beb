"""The classes of the protocol's messages, by name, from the compiled open_inference.proto.

In a pool of their own: other programs' copies of the protocol (tritonclient's, KServe's) have the same names,
and in one pool they could not be imported beside it.
"""

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

COMPILED = Path(__file__).with_name("open_inference.binpb")
SERVICE = "inference.GRPCInferenceService"

_pool = DescriptorPool()
for _file in FileDescriptorSet.FromString(COMPILED.read_bytes()).file:
    _pool.Add(_file)


def message(name: str) -> Any:
    """The class of a message, such as `ModelInferRequest`."""
    return GetMessageClass(_pool.FindMessageTypeByName(f"inference.{name}"))
