"""Which class is the store of an address."""

from tailfuse_service.errors import BundleError, install_hint
from tailfuse_service.stores.address import EXTRAS, Address
from tailfuse_service.stores.store import Store


def open_store(address: Address) -> Store:
    """Return the store of an address; nothing is asked yet. Raises BundleError if a package is missing."""
    try:
        if address.scheme in ("http", "https"):
            from tailfuse_service.stores.http_store import HttpStore

            return HttpStore(address)
        if address.scheme == "oci":
            from tailfuse_service.stores.oci_store import OciStore

            return OciStore(address)
        if address.scheme == "mlflow":
            from tailfuse_service.stores.mlflow_store import MlflowStore

            return MlflowStore(address)
        from tailfuse_service.stores.fsspec_store import open_fsspec_store

        return open_fsspec_store(address)
    except ImportError:
        extra = EXTRAS[address.scheme]
        raise BundleError(
            f"{address} needs the extra '{extra}', which is not installed: {install_hint(extra)}"
        ) from None
