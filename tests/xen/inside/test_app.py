# SPDX-License-Identifier: Apache-2.0
"""`make test-xen APP=path`: any program in a pod domain, and its launches under that domain's id."""

from __future__ import annotations

import os

import pytest
from images import debian
from pod import Pod

APP = os.environ.get("VGPU_XEN_APP", "")
SECONDS = 900


@pytest.mark.skipif(not APP, reason="no program was given: make test-xen APP=path")
def test_the_program_runs_in_a_pod(domain, proxy):
    one = domain("pvh", debian("venv", "repo", "programs", "app"), memory=768).boot()
    pod = Pod(one, proxy, "app")
    print(pod.run(APP, seconds=SECONDS))
    served = proxy.lines("domain-served", domain=one.domid)
    sessions = proxy.lines("session-ended", zone="app")
    assert served and sessions
    for line in sessions:
        print(f"domain {one.domid}: {line['program']}: {line['launches']} launches")
