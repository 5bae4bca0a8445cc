from __future__ import annotations

import json

from finediving_pose.workflows import doctor_findings
from finediving_pose.workflows.doctor_findings import Finding


def test_the_answer_is_json():
    findings = [Finding("ä", "fault", "b", "c")]
    assert json.loads(doctor_findings.format_json(findings)) == [
        {"name": "ä", "status": "fault", "detail": "b", "fix": "c"}
    ]
