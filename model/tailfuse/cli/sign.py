"""`tailfuse sign`: sign a bundle, so that a service with --trusted-keys takes it."""

from pathlib import Path

import click

import tailfuse


@click.command(short_help="Sign a bundle with an Ed25519 key.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--key", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Private key, in PEM."
)
@click.option(
    "--new-key", is_flag=True, help="Make the key first; the public half is written beside it, as KEY.pub."
)
def command(bundle: Path, key: Path, new_key: bool) -> None:
    """Sign the BUNDLE (a folder or a .zip file) in place.

    A service that is started with --trusted-keys serves only bundles signed by one of these keys:

    \b
        tailfuse sign runs/skin/bundle --key release.pem --new-key
        tailfuse serve runs/skin/bundle --trusted-keys release.pem.pub
    """
    manifest = tailfuse.sign_bundle(bundle, key, new_key=new_key)
    if new_key:
        click.echo(f"Private key: {key} (keep it secret)   Public key: {key}.pub")
    click.echo(f"Signed {manifest.name}, version {manifest.version}: {bundle}")
