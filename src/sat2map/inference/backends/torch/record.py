"""The record of PyTorch (see `record.BackendRecord`)."""

from sat2map.extras import lazily
from sat2map.inference.backends.record import BackendRecord

BACKEND = BackendRecord(
    "torch",
    "PyTorch",
    lazily(f"{__package__}.engine", "TorchEngine.open"),
    module="torch",
    extra="train",
    devices=("cpu", "cuda", "mps"),
    modes=("eval", "paper"),
)
