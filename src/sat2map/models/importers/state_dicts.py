"""Owns reading another project's checkpoint: tensors only, whatever they are wrapped in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from sat2map.errors import ModelFileError

# What training scripts and PyTorch itself put before every name.
PREFIXES = ("module.", "_orig_mod.")


def read_state_dicts(path: Path) -> list[dict[str, Tensor]]:
    """Return the state dicts in a checkpoint: usually one; a training's checkpoint holds several.

    Nothing in the file can run: it is read with `weights_only`.

    Raises:
        ModelFileError: The file is missing, truncated, holds more than tensors, or holds none.
    """
    if not path.exists():
        raise ModelFileError(f"{path} does not exist: name the checkpoint of a generator")
    if path.is_dir():
        raise ModelFileError(f"{path} is a folder: name the checkpoint in it, such as latest_net_G.pth")
    found = list(_state_dicts(_load(path)))
    if not found:
        raise ModelFileError(f"{path} holds no state dict: save one with torch.save(model.state_dict(), …)")
    return found


def _load(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelFileError(f"{path} is truncated or no safetensors file ({error})") from None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        wanted = re.search(r"(?:GLOBAL|Unsupported (?:global|class)[: ]*|global:? )\s*([\w.]+)", str(error))
        if wanted is None:
            raise _damaged(path) from None
        raise ModelFileError(
            f"{path} is a pickle that wants to run code ({wanted[1]}) and was not opened: where it comes "
            "from, save the weights alone with torch.save(model.state_dict(), …)"
        ) from None
    except PermissionError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged file can make torch raise nearly anything
        if "TorchScript" in str(error):
            raise ModelFileError(f"{path} is a TorchScript program: save its state dict instead") from None
        raise _damaged(path) from None


def _damaged(path: Path) -> ModelFileError:
    return ModelFileError(f"{path} is truncated, or no checkpoint of PyTorch: fetch or save it again")


def _state_dicts(value: object) -> Iterator[dict[str, Tensor]]:
    """Yield the mappings of names to tensors in `value`, itself or inside of it."""
    if not isinstance(value, Mapping):
        return
    tensors = {str(name): item for name, item in value.items() if isinstance(item, Tensor)}
    if tensors and len(tensors) == len(value):
        yield {_plain(name): tensor.detach().contiguous() for name, tensor in tensors.items()}
        return
    for item in value.values():
        yield from _state_dicts(item)


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
