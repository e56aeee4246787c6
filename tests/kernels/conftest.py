from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernels.runner import KernelRunner

VARIANTS = {
    "optimized": {"sanitize": False, "no_long_multiply": False},
    "optimized, 16-bit products": {"sanitize": False, "no_long_multiply": True},
    "sanitized": {"sanitize": True, "no_long_multiply": False},
    "sanitized, 16-bit products": {"sanitize": True, "no_long_multiply": True},
}


@pytest.fixture(scope="session", params=VARIANTS)
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelRunner]:
    """The kernels on the host, in each way they can be compiled."""
    with KernelRunner(tmp_path_factory.mktemp("kernels"), **VARIANTS[request.param]) as runner:
        yield runner
