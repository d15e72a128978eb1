"""What `dishvl doctor` says of versions."""

from dishvl_lib import doctor
from dishvl_lib.core import stages


def test_a_version_that_was_not_tested_is_named_with_the_one_that_was():
    tested = {"torch": "2.13.0", "transformers": "5.23.0"}
    (line,) = doctor.untested({"torch": "2.13.0+cpu", "transformers": "6.0.0", "new": "1"}, tested)
    assert "transformers 6.0.0 is not the version that was tested (5.23.0)" in line
    assert "pip install transformers==5.23.0" in line


def test_every_package_that_decides_a_result_was_tested_in_one_version():
    assert set(stages.PACKAGES) - {"dishvl"} <= set(doctor.tested_versions())


def test_the_report_names_versions_memory_disk_gpu_and_font():
    report = doctor.report()
    for word in ("python ", "torch ", "memory", "disk for outputs", "GPU: ", "Chinese font"):
        assert word in report
