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
def test_the_program_runs_in_a_pod(domain, proxy, capsys):
    one = domain("pvh", debian("venv", "repo", "programs", "app"), memory=768).boot()
    pod = Pod(one, proxy, "app")
    said = pod.run(APP, seconds=SECONDS)
    last = proxy.wait_for("session-ended", zone="app")
    assert proxy.lines("domain-served", domain=one.domid, zone="app")
    with capsys.disabled():
        print(f"\n{said}")
        print(f"domain {one.domid}, {last['program']}: {last['launches']} launches")
