"""The Hugging Face Hub: models by the name `hf://user/repo[/file]`, and `push`.

Importing this loads neither huggingface_hub nor torch.
"""

from __future__ import annotations

from sat2map.models.hub.fetch import HubName, fetch, is_hub_name
from sat2map.models.hub.push import Pushed, push

__all__ = ["HubName", "Pushed", "fetch", "is_hub_name", "push"]
