"""Networks of several processes that act as one network on the whole batch.

What needs more than a process's own rows of the batch is shared: gradients are averaged, BatchNorm measures
all rows, and dropout draws the mask of the whole batch and takes its rows of it. So the number of processes
changes nothing but the order of sums.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sat2map.training.distributed import DistributedContext

# PyTorch 2.13 gave it another name.
_NEW = "forward_sync_buffers"
_COPY_BUFFERS = _NEW if _NEW in signature(DistributedDataParallel).parameters else "broadcast_buffers"


def wrap_ddp(network: nn.Module, context: DistributedContext, batch_size: int) -> nn.Module:
    """Return a network whose backward pass averages its gradients over the context.

    Args:
        network: It keeps its parameters and their names; its BatchNorm and dropout layers are made to share.
        context: The processes; a context of one gets the network itself.
        batch_size: Rows of the whole batch.
    """
    if context.size == 1:
        return network
    on_gpu = next(network.parameters()).is_cuda
    if on_gpu:  # PyTorch's own is faster, and only for GPUs
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = SharedBatchNorm
        elif isinstance(module, nn.Dropout) and module.p:
            module.__class__ = SharedDropout
            assert isinstance(module, SharedDropout)
            module.rows, module.batch_size = context.rows(batch_size), batch_size
    # The statistics of BatchNorm are equal already; copying them in the forward pass would break the graph of
    # the discriminator, which is run twice before it is run back.
    copies_buffers: dict[str, Any] = {_COPY_BUFFERS: False}
    return DistributedDataParallel(
        network, device_ids=[torch.cuda.current_device()] if on_gpu else None, **copies_buffers
    )


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm over the rows of all processes, on any device."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise float (n, channels, h, w)."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = values.new_tensor([values.numel() / values.shape[1]])
        dist.all_reduce(count)
        mean = _sum(values.sum((0, 2, 3))) / count
        centred = values - _as_channels(mean)
        # The variance about the mean of all, in a second sum: the mean of squares less the square of the mean
        # would lose the digits that tell processes' numbers from one process's.
        variance = _sum(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * _as_channels(scale) + _as_channels(self.bias)).to(x.dtype)


class SharedDropout(nn.Dropout):
    """Dropout that drops what one process would drop of the whole batch: all draw alike, and take their rows.

    Attributes:
        rows: This process's rows of the batch.
        batch_size: Rows of the whole batch.
    """

    rows: slice
    batch_size: int

    def forward(self, x: Tensor) -> Tensor:
        """Drop of float (n, channels, h, w)."""
        if not self.training:
            return x
        # Numbers are drawn in the order of the memory.
        last = x.is_contiguous(memory_format=torch.channels_last)
        order = torch.channels_last if last else torch.contiguous_format
        ones = x.new_ones((self.batch_size, *x.shape[1:])).contiguous(memory_format=order)
        return x * F.dropout(ones, self.p)[self.rows]


class _Sum(torch.autograd.Function):
    """The sum over all processes; the gradient of it is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _sum(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


def all_reduce_sum(context: DistributedContext, values: Tensor) -> Tensor:
    """Return the sum over the context, through which gradients flow back to all.

    A loss of such sums is the same in every process, and so is that of the whole batch: averaging the
    processes' gradients gives the gradient of it.
    """
    return values if context.size == 1 else _sum(values)


def _as_channels(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
