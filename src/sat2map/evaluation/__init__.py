"""Scores of a model on pairs, next to those of baselines."""

from sat2map.evaluation.comparison import column_names
from sat2map.evaluation.evaluate import evaluate
from sat2map.evaluation.examples import Example, draw_examples, load_examples, save_examples
from sat2map.evaluation.result import Evaluation, ImageScores, MetricWeights, OtherModel, Protocol, Row
from sat2map.evaluation.score_table import print_evaluation
from sat2map.evaluation.scores import ScoreSheet

__all__ = [
    "Evaluation",
    "Example",
    "ImageScores",
    "MetricWeights",
    "OtherModel",
    "Protocol",
    "Row",
    "ScoreSheet",
    "column_names",
    "draw_examples",
    "evaluate",
    "load_examples",
    "print_evaluation",
    "save_examples",
]
