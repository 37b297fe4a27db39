"""A short run of tools/fuzz_http.py: no answer of 5xx but 503 and 507, and none that names a path."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("schemathesis", minversion="4")
from tools.fuzz_http import fuzz


def test_hostile_requests_get_an_answer_of_their_own_fault(server, tmp_path):
    seen = Counter[int]()
    assert list(fuzz(server.url, 240, 3, tmp_path, seen)) == []
    assert {200, 404, 413, 415, 422} <= set(seen)
