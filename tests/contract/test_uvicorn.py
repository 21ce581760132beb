"""Everything of uvicorn that is not its public interface and that the service relies on, by name.

uvicorn may change these names in any release, so pyproject.toml bounds it above by the newest version
tested. To raise the bound, install the new version, and run this file, the tests of the service and those
with hostile requests.
"""

import ast
import inspect
import re
import textwrap
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import tailfuse_service
import uvicorn
from tailfuse_service.http.connection import Protocol
from tailfuse_service.http.cycle import RequestCycle
from tailfuse_service.http.flow import ReadControl
from tailfuse_service.http.paths import PREDICT, match_path
from tailfuse_service.process.server import Server
from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

ROOT = Path(__file__).parents[2]
IMPORTED = {
    "uvicorn",
    "uvicorn.protocols.http.flow_control.FlowControl",
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol",
    "uvicorn.protocols.http.httptools_impl.STATUS_LINE",
}
# A class of ours and its base in uvicorn: the names of the base that ours overrides or uses.
INHERITED = {
    (Protocol, HttpToolsProtocol): {
        "__init__", "_unset_keepalive_if_required", "client", "connection_lost", "connection_made",
        "cycle", "data_received", "expect_100_continue", "flow", "headers", "loop", "on_body",
        "on_header", "on_headers_complete", "on_message_begin", "on_message_complete",
        "on_response_complete", "parser", "pause_writing", "resume_writing", "server", "server_state",
        "shutdown", "timeout_keep_alive",
        "timeout_keep_alive_handler", "transport", "url",
    },
    (ReadControl, FlowControl): {"__init__", "pause_reading", "resume_reading"},
    (Server, uvicorn.Server): {
        "__init__", "config", "handle_exit", "lifespan", "server_state", "servers", "shutdown", "startup",
    },
}  # fmt: skip
# What ours calls an object of uvicorn's: its class, and the names that are used of it.
HELD = {
    (Protocol, "self.cycle"): (
        RequestResponseCycle,
        {"disconnected", "message_event", "response_complete", "response_started"},
    ),
    (Protocol, "self.flow"): (FlowControl, {"resume_reading", "write_paused"}),
    (Protocol, "self.server_state"): (ServerState, {"default_headers", "total_requests"}),
    (Protocol, "config"): (Config, {"app"}),
    (Server, "self.config"): (Config, {"http_protocol_class"}),
    (Server, "config"): (Config, {"timeout_graceful_shutdown"}),
    (Server, "self.lifespan"): (LifespanOn, {"state"}),
    (Server, "state"): (ServerState, {"default_headers"}),
}
# What uvicorn uses of the request at hand, which may be an Exchange.
ASKED_OF_A_CYCLE = {"disconnected", "keep_alive", "message_event", "response_complete"}
# These two ask more, and get to see uvicorn's own requests alone.
FOR_ITS_OWN = {"on_body", "on_message_complete"}


def class_tree(kind: type) -> ast.ClassDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return tree


def attribute_names(tree: ast.AST, holder: str) -> set[str]:
    """Return each `name` that is read or written as `holder.name`."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == holder
    }


def methods(tree: ast.ClassDef) -> dict[str, ast.AST]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def defined_names(kind: type) -> set[str]:
    """Return the methods of a class, its annotated fields, and what its methods assign to `self`."""
    tree = class_tree(kind)
    assigned = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }
    return assigned | methods(tree).keys() | kind.__dict__.keys()


@pytest.mark.parametrize(("ours", "base"), INHERITED, ids=lambda kind: kind.__name__)
def test_every_inherited_name_that_is_used_is_listed_and_there(ours: type, base: type) -> None:
    tree = class_tree(ours)
    mentioned = methods(tree).keys() | attribute_names(tree, "self") | attribute_names(tree, "super()")
    assert mentioned & defined_names(base) == INHERITED[ours, base]
    assert attribute_names(tree, "super()") <= INHERITED[ours, base]


@pytest.mark.parametrize(("ours", "holder"), HELD, ids=str)
def test_every_name_that_is_used_of_uvicorn_s_objects_is_listed_and_there(ours: type, holder: str) -> None:
    kind, names = HELD[ours, holder]
    assert attribute_names(class_tree(ours), holder) == names
    assert names <= defined_names(kind)


def test_uvicorn_asks_of_a_request_what_an_exchange_has() -> None:
    asked = {
        name
        for method, tree in methods(class_tree(HttpToolsProtocol)).items()
        if method not in FOR_ITS_OWN
        for holder in ("self.cycle", "existing_cycle")
        for name in attribute_names(tree, holder)
    }
    assert asked == ASKED_OF_A_CYCLE
    exchange = RequestCycle(PREDICT, match_path(PREDICT), [], b"", None)
    assert {name for name in asked if not hasattr(exchange, name)} == set()


def test_every_import_from_uvicorn_is_listed() -> None:
    [folder] = tailfuse_service.__path__
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path(folder).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    by_name = {
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name for name in plain | by_name if name.split(".")[0] == "uvicorn"} == IMPORTED


def test_the_range_ends_with_the_newest_version_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [range_] = re.findall(r'"uvicorn>=0\.(\d+),<0\.(\d+)"', str(project["dependencies"]).replace("'", '"'))
    lowest, bound = map(int, range_)
    [tested] = re.findall(r"^uvicorn==0\.(\d+)\.", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert bound == int(tested) + 1
    assert lowest <= int(version("uvicorn").split(".")[1]) < bound
