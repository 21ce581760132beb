"""What the README and docs/ say is so."""

import re
from pathlib import Path

import pytest
from tailfuse.spec.schema import Spec, load_spec
from tailfuse_service import errors
from tailfuse_service.bundle import open_bundle
from tailfuse_service.errors import ServiceError
from tailfuse_service.metrics import Metrics

from docs.files import page
from docs.reference_pages import FOLDER, PAGES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SPEC = (ROOT / "docs" / "SPEC.md").read_text()
ERRORS = (FOLDER / "errors.md").read_text()
METRICS = (FOLDER / "metrics.md").read_text()


def subclasses(kind: type[ServiceError]) -> set[type[ServiceError]]:
    return set(kind.__subclasses__()).union(*map(subclasses, kind.__subclasses__()))


@pytest.mark.needs("git")
def test_the_list_of_files_is_current() -> None:
    assert (ROOT / "docs" / "FILES.md").read_text() == page(), "docs/FILES.md is stale: make files"


def test_every_error_is_in_the_table_with_its_status() -> None:
    told = {
        (int(status), slug)
        for status, slug in re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", ERRORS, re.MULTILINE)
    }
    bases = {errors.ClientError, errors.ServerError, errors.BundleError}
    assert told == {(kind.status, kind.slug) for kind in subclasses(ServiceError) - bases}


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_current(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), f"docs/reference/{name} is stale: make files"


def test_every_metric_has_the_type_and_labels_of_the_table(tiny_bundle: Path) -> None:
    metrics = Metrics()
    metrics.serve(open_bundle(tiny_bundle))
    for family in metrics.registry.collect():
        if family.name.startswith("tailfuse_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert f"| `{name}` ({family.type}) | " in METRICS


def test_the_spec_in_docs_is_a_whole_and_valid_one(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(name: .*?)```", SPEC, re.DOTALL)
    (tmp_path / "spec.yaml").write_text(text)
    spec = load_spec(tmp_path / "spec.yaml")
    assert set(Spec.model_fields) == set(spec.model_fields_set)
    for part in (spec.network, spec.training, spec.report):
        assert part.model_fields_set == set(type(part).model_fields)
        assert part == type(part)()  # what it shows are the defaults


@pytest.mark.parametrize(
    "page", ["README.md", *(str(file.relative_to(ROOT)) for file in sorted((ROOT / "docs").rglob("*.md")))]
)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert "://" in target or ((ROOT / page).parent / target).exists(), target


def test_its_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_is_short_and_in_the_field_s_words() -> None:
    assert len(README.splitlines()) <= 150
    for word in ("multimodal", "long-tailed", "class imbalance", "missing modalit"):
        assert word in README.lower()


def test_the_spec_in_the_readme_is_valid(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(name: .*?)```", README, re.DOTALL)
    (tmp_path / "spec.yaml").write_text(text)
    assert load_spec(tmp_path / "spec.yaml").name == "skin-lesions"


def test_the_readme_counts_the_dashboards_and_alerts_that_are_there() -> None:
    rules = (ROOT / "monitoring" / "prometheus" / "alerts.yml").read_text()
    dashboards = list((ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json"))
    assert f"{len(dashboards)} Grafana dashboards, {rules.count('- alert: ')} alerts" in README
