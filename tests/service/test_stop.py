"""A stop that Kubernetes does not have to end."""

from pathlib import Path

from tailfuse_service.process.server import LINGER_S, compute_drain_s
from tailfuse_service.process.supervisor import GRACE_S
from tailfuse_service.settings import Settings

KUBERNETES_S = 30  # terminationGracePeriodSeconds, unless a pod says otherwise


def test_by_default_a_stop_ends_before_kubernetes_kills_the_pod() -> None:
    assert compute_drain_s(Settings(bundle=Path("tiny"))) + GRACE_S + LINGER_S < KUBERNETES_S
