"""The record of ONNX Runtime (see `record.BackendRecord`)."""

from sat2map.extras import lazily
from sat2map.inference.backends.record import MODEL_FILE, BackendRecord

BACKEND = BackendRecord(
    "onnx",
    "ONNX Runtime",
    lazily(f"{__package__}.engine", "OnnxEngine.open"),
    module="onnxruntime",
    open_reference=lazily(f"{__package__}.engine", "OnnxEngine.open_reference"),
    suffixes=(MODEL_FILE, ".onnx"),
    exported_suffix=".onnx",
    order=20,
)
