"""Copy bundles to stores and from stores: S3, HTTPS and the others of docs/STORES.md."""

from pathlib import Path

from tailfuse_service.stores.address import Address, parse_address
from tailfuse_service.stores.store import Report, report_nothing
from tailfuse_service.stores.transfer import Transfer, pull_bundle, push_bundle

from tailfuse.errors import UserError


def push(bundle: str | Path, address: str, *, report: Report = report_nothing) -> Transfer:
    """Copy a bundle, a folder or .zip, to an address where nothing is yet, and return what was copied.

    `report` gets the name of a file and a number of bytes, again and again. Raises BundleError, UserError.

    >>> tailfuse.push("bundle", f"file://{Path.cwd()}/models/3").version
    '3'
    """
    return push_bundle(Path(bundle), read_address(address), report)


def pull(
    address: str, out: str | Path, *, trusted_keys: str | Path | None = None, report: Report = report_nothing
) -> Transfer:
    """Copy the bundle at an address into a new folder, or a new .zip, and return what was copied.

    Every file has the sum that the manifest lists. With `trusted_keys`, a file of public keys in PEM, one of
    them must have signed the manifest. Raises BundleError, UserError.

    >>> _ = tailfuse.push("bundle", f"file://{Path.cwd()}/models/4")
    >>> tailfuse.pull(f"file://{Path.cwd()}/models/4", "copy").files
    2
    """
    keys = None if trusted_keys is None else Path(trusted_keys)
    return pull_bundle(read_address(address), Path(out), trusted_keys=keys, report=report)


def read_address(text: str) -> Address:
    """Return an address. Raises UserError if the text is a path, or an address that cannot be used."""
    try:
        address = parse_address(text)
    except ValueError as error:
        raise UserError(str(error)) from None
    if address is None:
        raise UserError(
            f"'{text}' is a path; expected an address such as s3://models/skin or file:///models/skin"
        )
    return address
