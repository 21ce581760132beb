"""The chart's schema has every setting of the service, either as a value of its own or below `settings`."""

from tailfuse_service.settings import Settings

from deploy.write import CHART_SETTINGS, SCHEMA, schema


def test_the_schema_has_the_present_settings() -> None:
    assert SCHEMA.read_text() == schema(), "run `make files`"


def test_settings_that_the_chart_sets_exist() -> None:
    assert set(Settings.model_fields) >= CHART_SETTINGS
