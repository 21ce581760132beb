"""Fit a bundle to how frequent the classes are where it is used."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tailfuse_service.bundle import Manifest
from tailfuse_service.bundle.files import read_manifest, unpacked
from tailfuse_service.bundle.manifest import Adaptation

from tailfuse.api.bundles import write_packed
from tailfuse.errors import UserError

if TYPE_CHECKING:
    from tailfuse.data.arrays import OnProgress


def adapt_bundle(
    bundle: str | Path,
    table: str | Path,
    out: str | Path,
    *,
    rows: int | None = None,
    version: str | None = None,
    approve: Callable[[Manifest, Adaptation], object] = lambda *_: None,
    on_load: "OnProgress | None" = None,
    on_step: Callable[[str], object] = lambda _: None,
) -> Adaptation:
    """Write a bundle anew, its answers fitted to how frequent the classes are in a table without labels.

    Labels that are there only measure the effect. `rows` takes the first rows alone. `approve` is called with
    what was found before anything is written, and may raise. Without a `version` it is that of the bundle and
    `+adapted`. Raises BundleError, TableError, UserError, ExportError.

    >>> _ = tailfuse.train("spec.yaml", "run")
    >>> tailfuse.adapt_bundle("run/bundle", "table.csv", "adapted").prior.keys()
    dict_keys(['calm', 'windy'])
    """
    target = Path(out)
    if target.exists():
        raise UserError(f"{target} is there already; choose another --out")

    from tailfuse.export.adapt import adapt_bundle as write_bundle
    from tailfuse.export.adapt import find_adaptation, unlabelled_rows

    with unpacked(Path(bundle)) as folder:
        manifest = read_manifest(folder)
        on_step("reading the table …")
        given = unlabelled_rows(manifest, Path(table), rows, on_load)
        on_step("answering the rows …")
        adaptation = find_adaptation(folder, given)
        approve(manifest, adaptation)
        on_step("writing and checking the bundle …")
        write_packed(lambda new: write_bundle(folder, adaptation, given, new, version), target)
    return adaptation
