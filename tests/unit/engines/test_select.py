"""The engines that exist, and what each can do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapshot_tasks.engines.select import (
    ENGINES,
    managed_alone,
    managed_engine,
    managed_engine_at_url,
)
from snapshot_tasks.settings import Settings
from snapshot_tasks.settings import engine as module
from snapshot_tasks.system.errors import Refused, SettingsError


def test_every_engine_that_a_setting_can_name_exists() -> None:
    """`auto` chooses among them."""
    assert {*module.ENGINES} == {"auto", *ENGINES}
    assert {*module.DRILL_ENGINES} <= {*module.ENGINES}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_says_what_it_can_do(make_settings: Callable[..., Settings], name: str) -> None:
    """Only an external engine leaves the server alone."""
    settings = make_settings(QDRANT_ENGINE=name)
    engine = ENGINES[name](settings)
    assert engine.name == name
    at_url = managed_engine_at_url(settings)
    assert (at_url is not None) is engine.manages_server is (name != "external")


def test_an_engine_elsewhere_is_not_managed(make_settings: Callable[..., Settings]) -> None:
    """`QDRANT_URL` must be the address of the engine's server, unless the engine is external."""
    settings = make_settings(QDRANT_ENGINE="native", QDRANT_URL="http://db.example:6333")
    assert managed_engine_at_url(settings) is None
    with pytest.raises(SettingsError, match="native engine listens at"):
        managed_engine(settings)
    external = make_settings(QDRANT_ENGINE="external", QDRANT_URL="http://db.example:6333")
    assert not managed_engine(external).engine.manages_server


def test_one_node_of_several_is_not_stopped(make_settings: Callable[..., Settings]) -> None:
    """The others would stay, and a deleted node's replicas would be missing there."""
    urls = "http://localhost:6333,http://localhost:6343"
    several = make_settings(QDRANT_ENGINE="native", QDRANT_CLUSTER_URLS=urls)
    assert managed_engine(several).engine.manages_server
    with pytest.raises(Refused, match="names 2 nodes, and this would stop only one"):
        managed_alone(several)
    only = make_settings(QDRANT_ENGINE="native", QDRANT_CLUSTER_URLS="http://localhost:6333")
    assert managed_alone(only).engine.manages_server
