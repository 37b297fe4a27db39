"""Requests of a compiled OpenVINO model, of which callers take turns."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final

from sat2map.inference.backends.openvino.library import openvino
from sat2map.runtime.cpu import processor

KEPT_SIZES: Final = 8  # of inputs, where each has a compiled model of its own


def has_int8(model: openvino.Model) -> bool:
    """Return whether a model was quantized."""
    return any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())


class Requests:
    """What runs a model: as many requests as streams.

    OpenVINO's int8 kernels for AMX crash on some sizes if the graph leaves the size free
    (https://github.com/openvinotoolkit/openvino/issues/37577). There the model is compiled for each size that
    comes, which takes some tenths of a second.
    """

    def __init__(self, model: openvino.Model, config: Mapping[str, object], streams: int) -> None:
        """Compile a model.

        Args:
            model: Of one input.
            config: Of OpenVINO.
            streams: How many callers are served at the same time.
        """
        self._model, self._config, self._streams = model, dict(config), streams
        self.compiled = openvino.Core().compile_model(model, "CPU", self._config)
        self._fixes_size = has_int8(model) and "amx_int8" in processor().features
        self._lock = threading.Lock()
        self._by_size: OrderedDict[tuple[int, ...], queue.SimpleQueue[openvino.InferRequest]] = OrderedDict()
        if not self._fixes_size:
            self._by_size[()] = self._make(self.compiled)

    @contextlib.contextmanager
    def borrow(self, shape: tuple[int, ...]) -> Iterator[openvino.InferRequest]:
        """Wait for a request that no one else uses, for inputs of a shape."""
        requests = self._of(shape) if self._fixes_size else self._by_size[()]
        request = requests.get()
        try:
            yield request
        finally:
            requests.put(request)

    def _of(self, shape: tuple[int, ...]) -> queue.SimpleQueue[openvino.InferRequest]:
        with self._lock:
            if shape not in self._by_size:
                fixed = self._model.clone()
                fixed.reshape(list(shape))
                self._by_size[shape] = self._make(openvino.Core().compile_model(fixed, "CPU", self._config))
                if len(self._by_size) > KEPT_SIZES:
                    self._by_size.popitem(last=False)
            self._by_size.move_to_end(shape)
            return self._by_size[shape]

    def _make(self, compiled: openvino.CompiledModel) -> queue.SimpleQueue[openvino.InferRequest]:
        requests: queue.SimpleQueue[openvino.InferRequest] = queue.SimpleQueue()
        for _ in range(self._streams):
            requests.put(compiled.create_infer_request())
        return requests
