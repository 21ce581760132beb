"""Convert ModelInfer requests to tensors, and predictions to its response."""

from collections.abc import Mapping, Sequence
from typing import Any

from tailfuse_service.bundle import Manifest, Prediction
from tailfuse_service.errors import BadRequest
from tailfuse_service.modalities.json_text import make_too_many_values
from tailfuse_service.modalities.limits import Limits
from tailfuse_service.modalities.tensor import BYTES, Tensor
from tailfuse_service.oip.messages import message
from tailfuse_service.oip.outputs import OUTPUTS, check_output, make_outputs
from tailfuse_service.oip.tensors import TensorSpec, make_spec, parse_binary, parse_numbers

ModelInferResponse = message("ModelInferResponse")
# Where `contents` has the values of each datatype; FP16 has no place there.
CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def read_tensors(request: Any, limits: Limits) -> list[Tensor]:
    """Return the inputs of a ModelInferRequest. Raises BadRequest, InvalidInput, TooManyValues."""
    inputs, raw = request.inputs, request.raw_input_contents
    if raw and len(raw) != len(inputs):
        raise BadRequest(
            f"{len(raw)} raw_input_contents for {len(inputs)} inputs", expected=len(inputs), received=len(raw)
        )
    tensors = []
    for number, each in enumerate(inputs):
        tensor = make_spec(each.name, each.datatype, list(each.shape))
        if each.parameters and "shared_memory_region" in each.parameters:
            raise tensor.invalid("the extension 'shared_memory_region' is not supported")
        if not raw:
            tensors.append(parse_contents(tensor, each.contents, limits))
        elif each.HasField("contents"):
            raise tensor.invalid("'contents' or 'raw_input_contents' was expected, got both")
        else:
            tensors.append(parse_binary(tensor, memoryview(raw[number])))
    return tensors


def parse_contents(tensor: TensorSpec, contents: Any, limits: Limits) -> Tensor:
    """Return the values of an InferTensorContents. Raises InvalidInput, TooManyValues."""
    place = CONTENTS.get(tensor.datatype)
    if place is None:
        raise tensor.invalid(
            f"{tensor.datatype} must be sent in raw_input_contents", expected="raw_input_contents"
        )
    values = getattr(contents, place)
    if len(values) > limits.max_json_values:
        raise make_too_many_values(f"input '{tensor.name:.80}'", len(values), limits)
    values = list(values)
    if len(values) != tensor.size:
        raise tensor.invalid(
            f"{len(values)} values in {place}, {tensor.size} expected of {list(tensor.shape)}",
            expected=tensor.size, received=len(values),
        )  # fmt: skip
    if tensor.datatype == BYTES:
        return Tensor(*tensor, values)
    return Tensor(*tensor, parse_numbers(tensor, values).reshape(tensor.shape))


def read_outputs(request: Any) -> list[str]:
    """Return the requested outputs, by default all. Raises InvalidInput."""
    wanted: list[str] = []
    for each in request.outputs:
        wanted.append(check_output(each.name, each.parameters, wanted))
    return wanted or list(OUTPUTS)


def read_parameter(request: Any, name: str) -> str | bool | int | None:
    """Return a parameter of a request; None if it is not there."""
    if name not in request.parameters:
        return None
    parameter = request.parameters[name]
    value: str | bool | int = getattr(parameter, parameter.WhichOneof("parameter_choice") or "string_param")
    return value


def make_response(
    predictions: Sequence[Prediction], manifest: Manifest, wanted: Sequence[str], *, id_: str, raw: bool,
    parameters: Mapping[str, str],
) -> Any:  # fmt: skip
    """Return the response. With `raw`, its values are in raw_output_contents, as in the request."""
    response = ModelInferResponse(model_name=manifest.name, model_version=manifest.version, id=id_)
    for name, value in parameters.items():
        response.parameters[name].string_param = value
    for output in make_outputs(predictions, manifest, wanted):
        told = response.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if raw:
            response.raw_output_contents.append(output.to_bytes())
        elif output.datatype == BYTES:
            told.contents.bytes_contents.extend(value.encode() for value in output.values)
        else:
            told.contents.fp32_contents.extend(output.values)
    return response
