"""Sign a bundle, so that a service with trusted keys takes it."""

from pathlib import Path

from tailfuse_service.bundle import Manifest
from tailfuse_service.bundle.files import read_manifest, unpacked
from tailfuse_service.bundle.files import sign_bundle as write_signature
from tailfuse_service.bundle.signature import write_key_pair

from tailfuse.errors import UserError


def sign_bundle(bundle: str | Path, key: str | Path, *, new_key: bool = False) -> Manifest:
    """Sign a bundle, a folder or .zip, in place with an Ed25519 key, and return its manifest.

    `key` is the file of the private key, in PEM. `new_key` makes it first, and its public half beside it as
    `<key>.pub`; no file is overwritten. Needs the extra `sign`. Raises BundleError, UserError.

    >>> tailfuse.sign_bundle("bundle", "release.pem", new_key=True).version
    '3'
    """
    private = Path(key)
    if new_key:
        with unpacked(Path(bundle)) as folder:
            read_manifest(folder)  # no key is made for what is not a bundle
        try:
            write_key_pair(private, private.with_name(f"{private.name}.pub"))
        except FileExistsError as error:
            raise UserError(f"{error.filename} is there already; to sign with it, make no new key") from None
    return write_signature(Path(bundle), private)
