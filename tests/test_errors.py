from __future__ import annotations

from finediving_pose import errors


def test_each_error_has_its_exit_code():
    codes = [
        error("x").exit_code
        for error in (errors.UsageError, errors.DataError, errors.EnvironmentUnfit)
    ]
    assert codes == [2, 3, 4]
    assert issubclass(errors.DataError, errors.FdposeError)
