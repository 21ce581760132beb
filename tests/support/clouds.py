"""Google Cloud Storage and Azure Blob Storage by emulators, and MLflow by its own server, on this machine."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.hub import serve_hub
from tests.support.ports import find_free_port
from tests.support.programs import locate
from tests.support.stores import run_server, serve_s3

ACCOUNT = "devstoreaccount1"  # the account and its key that Azurite's page tells everyone
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def serve_gcs(bucket: str) -> Iterator[dict[str, str]]:
    """Serve a bucket over the protocol of Google Cloud Storage. The value are a client's variables."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=bucket)
    server.start()
    try:
        yield {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server._api._httpd.server_port}",
            "FSSPEC_GS_TOKEN": "anon",  # else it looks for the credentials of a machine at Google
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # its requests go to the real service
        }
    finally:
        server.stop()


@contextmanager
def serve_azure(container: str) -> Iterator[dict[str, str]]:
    """Serve a container over the protocol of Azure Blob Storage. The value are a client's variables."""
    from azure.storage.blob import BlobServiceClient

    port = find_free_port()
    command = [
        locate("node"), os.path.realpath(locate("azurite-blob")), "--blobPort", str(port), "--silent",
        "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck",
    ]  # fmt: skip
    with run_server(command, port):
        connection = (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT}"
        )
        BlobServiceClient.from_connection_string(connection).create_container(container)
        yield {"AZURE_STORAGE_CONNECTION_STRING": connection}


@contextmanager
def serve_mlflow(folder: Path) -> Iterator[str]:
    """Serve MLflow, whose database and files are in a folder. The value is its address."""
    port = find_free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/server",
    ]  # fmt: skip
    with run_server(command, port, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}):
        yield f"http://127.0.0.1:{port}"


class FolderStore(NamedTuple):
    """A store of folders: the program that a test needs, the address of a folder, and a server of it.

    What the server yields are the variables with which a client finds it.
    """

    program: str
    address: str
    serve: Callable[[], AbstractContextManager[dict[str, str]]]


FOLDER_STORES = {  # by scheme
    "s3": FolderStore("moto_server", "s3://models", lambda: serve_s3("models")),
    "gs": FolderStore("gcp-storage-emulator", "gs://models", lambda: serve_gcs("models")),
    "az": FolderStore("azurite-blob", "az://models", lambda: serve_azure("models")),
    "hf": FolderStore("hf", "hf://acme/models", lambda: serve_hub("acme/models")),
}
