# SPDX-License-Identifier: Apache-2.0
"""Coder's task routes exist under two prefixes: whoever takes `api` or `prefix` is run on both."""

import pytest

from lib.api import EXPERIMENTAL, STABLE, Api


class Prefixed(Api):
    """A client whose task routes are those of one prefix; everything else has only one."""

    def __init__(self, base, token, prefix):
        super().__init__(base, token)
        self.prefix = prefix

    def with_token(self, token):
        return Prefixed(self.base, token, self.prefix)

    def request(self, method, path, prefix=STABLE, **arguments):
        if prefix == STABLE and path.split("?")[0].split("/")[1] == "tasks":
            prefix = self.prefix
        return super().request(method, path, prefix=prefix, **arguments)


@pytest.fixture(params=[STABLE, EXPERIMENTAL], ids=["v2", "experimental"])
def prefix(request):
    return request.param


@pytest.fixture
def users(cluster, prefix):
    """users("bob") is bob's client on the prefix of this run."""
    return lambda name: Prefixed(lambda: cluster.gateway.url, cluster.session.tokens[name], prefix)


@pytest.fixture
def api(users):
    return users("admin")


@pytest.fixture
def v2(cluster):
    """A client for routes that have only the stable prefix."""
    return cluster.api()
