"""Who answers for a model: its stable version, its canary for some, and no other unless it is named."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import NotReady, UnknownModel
from tailfuse_service.metrics import Metrics
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.models.roles import find_latest, is_in_share, make_sort_key, promote_version
from tailfuse_service.settings import Settings
from tailfuse_service.settings.roles_file import Canary, Roles, Shadow

NAME = "skin-lesions"


def get_version(bundle: Bundle, version: str, name: str = NAME) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"name": name, "version": version}))


class Served:
    """Versions of one model, on the event loop of a test."""

    def __init__(self, bundle: Bundle, path: Path, *versions: str, default: str | None = None) -> None:
        self.bundles = {version: get_version(bundle, version) for version in versions}
        settings = Settings(bundle=path, default_model=default)
        self.registry = ModelRegistry(self.bundles.values(), settings, Metrics())

    def keep(self, *versions: str) -> None:
        self.registry.replace([self.bundles[version] for version in versions])

    def assign(self, **roles: object) -> None:
        self.registry.assign({NAME: Roles.model_validate(roles)})

    def stable(self) -> str:
        return self.registry.stable(NAME).manifest.version

    def roles(self) -> dict[str, str]:
        model = self.registry.models[NAME]
        return {engine.manifest.version: model.find_role(engine) for engine in model}


@pytest.mark.parametrize(
    "in_order",
    [
        ["9", "10"], ["2", "10", "10.1"], ["1.9", "1.10"], ["v9", "v10"], ["2026-01-31", "2026-02-01"],
        ["9" * 5000, "1" + "0" * 5000], ["a", "1"], ["²", "1"], ["01", "1"], ["", "1"],
    ],
)  # fmt: skip
def test_numbers_in_versions_count_as_numbers(in_order: list[str]) -> None:
    others_first = [*in_order[1:], in_order[0]]
    assert sorted(others_first, key=make_sort_key) == in_order
    assert find_latest(in_order) == in_order[-1]


def test_without_roles_the_latest_version_answers(bundle: Bundle, tiny_bundle: Path) -> None:
    async def scenario() -> None:
        served = Served(bundle, tiny_bundle, "9", "10", "2")
        assert served.roles() == {"9": "none", "10": "stable", "2": "none"}
        await served.registry.close()

    asyncio.run(scenario())


def test_a_named_stable_version_answers_also_when_it_is_not_the_latest(
    bundle: Bundle, tiny_bundle: Path
) -> None:
    async def scenario() -> None:
        served = Served(bundle, tiny_bundle, "3", "4", "5")
        served.assign(stable="3", canary={"version": "4", "share": 0.5}, shadow={"version": "5"})
        assert served.roles() == {"3": "stable", "4": "canary", "5": "shadow"}
        served.assign(canary={"version": "5", "share": 0.5})
        assert served.roles() == {"3": "none", "4": "stable", "5": "canary"}
        await served.registry.close()

    asyncio.run(scenario())


def test_a_version_that_is_named_stable_before_it_is_loaded_waits_and_the_old_one_answers(
    bundle: Bundle, tiny_bundle: Path
) -> None:
    async def scenario() -> None:
        served = Served(bundle, tiny_bundle, "3", "4", "5")
        served.keep("3", "5")
        served.assign(stable="3")
        served.assign(stable="4")
        assert served.stable() == "3"
        served.keep("3", "4", "5")
        assert served.stable() == "4"
        await served.registry.close()

    asyncio.run(scenario())


def test_no_other_version_takes_the_place_of_a_named_one(bundle: Bundle, tiny_bundle: Path) -> None:
    async def scenario() -> None:
        served = Served(bundle, tiny_bundle, "3", "4")
        served.assign(stable="3", shadow={"version": "4"})
        served.keep("4")
        with pytest.raises(NotReady, match="its version '3' is not loaded; loaded: 4"):
            served.registry.find()
        assert not served.registry.is_ready
        assert served.registry.find(NAME, "4").manifest.version == "4"
        served.keep("3", "4")
        assert served.registry.find().manifest.version == "3"
        await served.registry.close()

    asyncio.run(scenario())


def test_a_canary_or_shadow_alone_answers_nobody_who_does_not_name_it(
    bundle: Bundle, tiny_bundle: Path
) -> None:
    async def scenario() -> None:
        for role in ({"canary": {"version": "4", "share": 0.9}}, {"shadow": {"version": "4"}}):
            served = Served(bundle, tiny_bundle, "3", "4")
            served.assign(**role)
            served.keep("4")
            with pytest.raises(NotReady, match="no stable version"):
                served.registry.find()
            await served.registry.close()

    asyncio.run(scenario())


def test_a_canary_answers_its_share(bundle: Bundle, tiny_bundle: Path) -> None:
    random.seed(3)

    async def scenario() -> None:
        served = Served(bundle, tiny_bundle, "3", "4")
        served.assign(stable="3", canary={"version": "4", "share": 0.2})
        n = sum(served.registry.find().manifest.version == "4" for _ in range(5000))
        assert 830 < n < 1170  # 1000, and six standard deviations
        await served.registry.close()

    asyncio.run(scenario())


def test_a_routing_key_always_gets_the_same_version_and_keeps_the_canary_while_its_share_grows(
    bundle: Bundle, tiny_bundle: Path
) -> None:
    async def scenario() -> None:
        served = Served(bundle, tiny_bundle, "3", "4")
        keys = [f"user-{n}".encode() for n in range(5000)]
        before: set[bytes] = set()
        for share, least, most in ((0.05, 150, 350), (0.5, 2280, 2720), (0.99, 4900, 4999)):
            served.assign(stable="3", canary={"version": "4", "share": share})
            for _ in range(2):
                got = {
                    key
                    for key in keys
                    if served.registry.find(headers=[(b"x-routing-key", key)]).manifest.version == "4"
                }
                assert before <= got
                assert least < len(got) < most
                before = got
        await served.registry.close()

    asyncio.run(scenario())


def test_a_key_is_shared_out_by_its_hash() -> None:
    assert not is_in_share(1e-9, b"alice")
    assert is_in_share(1 - 1e-9, b"alice")
    assert is_in_share(0.5, b"") is is_in_share(0.5, b"")


def test_who_names_a_version_gets_it_whatever_its_role(bundle: Bundle, tiny_bundle: Path) -> None:
    async def scenario() -> None:
        served = Served(bundle, tiny_bundle, "3", "4", "5", "6")
        served.assign(stable="3", canary={"version": "5", "share": 0.5}, shadow={"version": "6"})
        for version in ("3", "4", "5", "6"):
            assert served.registry.find(NAME, version).manifest.version == version
        assert served.registry.find(NAME, "latest").manifest.version == "4"  # of those without another role
        with pytest.raises(UnknownModel, match="unknown version '7'; loaded: 3, 4, 5, 6"):
            served.registry.find(NAME, "7")
        with pytest.raises(UnknownModel, match="unknown model 'digits'; loaded: skin-lesions"):
            served.registry.find("digits")
        await served.registry.close()

    asyncio.run(scenario())


def test_the_default_model_is_the_one_of_the_settings_and_no_other(bundle: Bundle, tiny_bundle: Path) -> None:
    async def scenario() -> None:
        registry = ModelRegistry(
            [bundle, get_version(bundle, "1", "a")],
            Settings(bundle=tiny_bundle, default_model="b"),
            Metrics(),
        )
        with pytest.raises(NotReady, match="model 'b' is not loaded"):
            registry.find()
        registry.replace([bundle, get_version(bundle, "1", "b")])
        assert registry.find().manifest.name == "b"
        registry.replace([bundle])
        with pytest.raises(NotReady, match="model 'b' is not loaded"):
            registry.find()
        await registry.close()

    asyncio.run(scenario())


def test_without_the_setting_the_first_by_name_stays_the_default_model(
    bundle: Bundle, tiny_bundle: Path
) -> None:
    async def scenario() -> None:
        a, b, c = (get_version(bundle, "1", name) for name in "abc")
        registry = ModelRegistry([c, b], Settings(bundle=tiny_bundle), Metrics())
        assert registry.find().manifest.name == "b"
        registry.replace([a, b, c])
        assert registry.find().manifest.name == "b"
        registry.replace([a, c])  # nobody who asked b shall be answered by another
        with pytest.raises(NotReady, match="model 'b' is not loaded"):
            registry.find()
        await registry.close()

    asyncio.run(scenario())


def test_a_model_that_is_served_alone_is_the_default_whatever_its_name(
    bundle: Bundle, tiny_bundle: Path
) -> None:
    async def scenario() -> None:
        registry = ModelRegistry([get_version(bundle, "1", "a")], Settings(bundle=tiny_bundle), Metrics())
        registry.replace([get_version(bundle, "1", "z")])
        assert registry.find().manifest.name == "z"
        await registry.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "roles",
    [
        {"stable": "3", "canary": {"version": "3", "share": 0.1}},
        {"stable": "3", "shadow": {"version": "3"}},
        {"canary": {"version": "3", "share": 0.1}, "shadow": {"version": "3"}},
        {"canary": {"version": "3", "share": 0}},
        {"canary": {"version": "3", "share": 1}},
        {"shadow": {"version": "3", "share": 1.1}},
        {"canary": {"version": "3"}},
        {"stabel": "3"},
    ],
)
def test_roles_that_make_no_sense_are_refused(roles: object) -> None:
    with pytest.raises(ValidationError):
        Roles.model_validate(roles)


def test_a_promoted_version_has_no_other_role() -> None:
    canary, shadow = Canary(version="4", share=0.1), Shadow(version="5")
    assert promote_version(Roles(stable="3", canary=canary, shadow=shadow), "4") == Roles(
        stable="4", shadow=shadow
    )
    assert promote_version(Roles(stable="3", canary=canary, shadow=shadow), "5") == Roles(
        stable="5", canary=canary
    )
    assert promote_version(Roles(), "5") == Roles(stable="5")
