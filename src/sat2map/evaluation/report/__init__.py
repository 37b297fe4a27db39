"""Reports of a run, of an evaluation, of a demo: one HTML file each, which needs nothing else."""

from sat2map.evaluation.report.reports import (
    EVALUATION,
    EXAMPLES,
    write_demo_report,
    write_evaluation_report,
    write_run_report,
)

__all__ = [
    "EVALUATION",
    "EXAMPLES",
    "write_demo_report",
    "write_evaluation_report",
    "write_run_report",
]
