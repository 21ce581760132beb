"""Signed bundles: an Ed25519 signature of the manifest, which holds the hash of every other file.

Keys are PEM files, as `openssl genpkey -algorithm ed25519` writes them. Needs tailfuse[sign].
"""

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tailfuse_service.bundle.atomic import write_atomically
from tailfuse_service.errors import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.sig"
CONTEXT = b"tailfuse bundle 1\n"  # signed before the manifest, so that the key signs nothing else by mistake
PEM_END = b"-----END PUBLIC KEY-----"


def write_key_pair(private: Path, public: Path) -> None:
    """Make a key and write its two halves; only the owner may read the private one. Raises OSError.

    A file that is there already is not overwritten.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    shown = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, content, mode in ((private, secret, 0o600), (public, shown, 0o644)):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)


def read_private_key(path: Path) -> "Ed25519PrivateKey":
    """Read the key that signs. Raises ValueError, OSError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):  # TypeError: it has a password
        raise ValueError(f"{path} is no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} is not an Ed25519 key")
    return key


def read_trusted_keys(path: Path) -> "list[Ed25519PublicKey]":
    """Read the public keys in a file, one PEM block after the other. Raises ValueError, OSError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys: list[Ed25519PublicKey] = []
    for block in path.read_bytes().split(PEM_END)[:-1]:
        try:
            key = load_pem_public_key(block[block.find(b"-----BEGIN") :] + PEM_END + b"\n")
        except ValueError:
            raise ValueError(f"{path}: key {len(keys) + 1} is no public key in PEM") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError(f"{path}: key {len(keys) + 1} is not an Ed25519 key")
        keys.append(key)
    if not keys:
        raise ValueError(f"{path} contains no public keys in PEM")
    return keys


def write_signature(folder: Path, manifest: bytes, key: "Ed25519PrivateKey") -> None:
    """Sign the manifest of a bundle's folder. Raises OSError."""
    signature = base64.b64encode(key.sign(CONTEXT + manifest)).decode()
    write_atomically(folder / SIGNATURE, f"{signature}\n")


def check_signature(folder: Path, manifest: bytes, trusted_keys: Path) -> None:
    """Raises BundleError unless one of the trusted keys has signed the manifest."""
    from cryptography.exceptions import InvalidSignature

    try:
        keys = read_trusted_keys(trusted_keys)
    except (OSError, ValueError) as error:
        raise BundleError(f"the trusted keys cannot be read: {error}") from None
    try:
        signature = base64.b64decode((folder / SIGNATURE).read_bytes().strip(), validate=True)
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not signed, and only bundles signed by a trusted key are served"
        ) from None
    except (OSError, binascii.Error):
        raise BundleError(f"{folder}: {SIGNATURE} is no signature") from None
    for key in keys:
        try:
            key.verify(signature, CONTEXT + manifest)
        except InvalidSignature:
            continue
        return
    raise BundleError(f"{folder} is not signed by a trusted key, or was changed after it was signed")
