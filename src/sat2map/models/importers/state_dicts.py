"""Reads another project's checkpoint: tensors only, whatever they are wrapped in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import Tensor

from sat2map.errors import ModelFileError
from sat2map.models.importers.sniff import is_safetensors, reject_other_formats

# What training scripts and PyTorch itself put before every name, in any order and number.
_WRAPPERS: Final = re.compile(r"^(?:module\.|_orig_mod\.)+")

NamedStateDict = tuple[str, dict[str, Tensor]]


def read_state_dicts(path: Path) -> list[NamedStateDict]:
    """Return the state dicts in a checkpoint by the keys they lie under: "" for one that is the whole file.

    Nothing in the file can run: it is read with `weights_only`.

    Raises:
        ModelFileError: The file is missing, truncated, of another program, holds more than tensors, or none.
    """
    if not path.exists():
        raise ModelFileError(f"{path} does not exist", hint="name the checkpoint of a generator")
    if path.is_dir():
        raise ModelFileError(
            f"{path} is a folder", hint="name the checkpoint in it, such as latest_net_G.pth"
        )
    found = list(_state_dicts(_load(path)))
    if not found:
        raise ModelFileError(
            f"{path} holds no state dict", hint="save one with torch.save(model.state_dict(), …)"
        )
    return found


def split_by_prefix(weights: Mapping[str, Tensor]) -> list[NamedStateDict]:
    """Return the parts of a state dict of several networks, such as `generator.…` and `discriminator.…`."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        prefix, _, rest = name.partition(".")
        if rest:
            parts.setdefault(prefix, {})[_WRAPPERS.sub("", rest)] = tensor
    return list(parts.items())


def _load(path: Path) -> Any:
    try:
        if is_safetensors(path):
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix.lower() == ".safetensors":
            raise ModelFileError(f"{path} is truncated or not a safetensors file", hint="fetch it again")
        reject_other_formats(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except ModelFileError:
        raise
    except SafetensorError as error:
        raise ModelFileError(f"{path} is truncated or not a safetensors file ({error})") from None
    except UnpicklingError as error:
        wanted = re.search(r"(?:GLOBAL|Unsupported (?:global|class)[: ]*|global:? )\s*([\w.]+)", str(error))
        if wanted is None:
            raise _damaged(path) from None
        raise ModelFileError(
            f"{path} is a pickle that wants to run code ({wanted[1]}) and was not opened",
            hint="where it comes from, save the weights alone with torch.save(model.state_dict(), …)",
        ) from None
    except PermissionError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged file can make torch raise nearly anything
        if "TorchScript" in str(error):
            raise ModelFileError(
                f"{path} is a TorchScript program", hint="save its state dict instead"
            ) from None
        raise _damaged(path) from None


def _damaged(path: Path) -> ModelFileError:
    return ModelFileError(
        f"{path} is truncated, or not a checkpoint of PyTorch", hint="fetch or save it again"
    )


def _state_dicts(value: object, key: str = "") -> Iterator[NamedStateDict]:
    """Yield the mappings of names to tensors in `value`, itself or inside of it."""
    if not isinstance(value, Mapping):
        return
    tensors = {str(name): item for name, item in value.items() if isinstance(item, Tensor)}
    if tensors and len(tensors) == len(value):
        yield key, {_WRAPPERS.sub("", name): tensor.detach().contiguous() for name, tensor in tensors.items()}
        return
    for name, item in value.items():
        yield from _state_dicts(item, f"{key}.{name}" if key else str(name))
