"""The record of OpenVINO (see `record.BackendRecord`)."""

from sat2map.extras import lazily
from sat2map.inference.backends.record import MODEL_FILE, BackendRecord

BACKEND = BackendRecord(
    "openvino",
    "OpenVINO",
    lazily(f"{__package__}.engine", "OpenVinoEngine.open"),
    module="openvino",
    extra="openvino",
    suffixes=(MODEL_FILE, ".xml", ".onnx"),
    exported_suffix=".xml",
    order=10,
    is_verified=True,  # it computes in bf16 where the CPU does, and bugs of its kernels were seen
)
