"""Parameter-efficient tuning: small trained parts in a large frozen model, in place.

add_lora(model, LoRAConfig(rank=8))     or add_adapters, add_prefix, add_adalora
freeze_base(model, keep=("head",))      what is new, and the head, are trained
fit(model, ...)
save_tuning(model, "my.safetensors")    load_tuning(base, "my.safetensors")
"""

from course_utils.peft.adalora import (
    AdaLoRAConfig,
    RankAllocator,
    add_adalora,
    orthogonality,
    ranks,
)
from course_utils.peft.adapter import AdapterConfig, add_adapters
from course_utils.peft.base import Counts, count_parameters, freeze_base, remove
from course_utils.peft.files import load_tuning, save_tuning
from course_utils.peft.lora import LoRAConfig, add_lora, merge, unmerge
from course_utils.peft.prefix import PrefixConfig, add_prefix, fold

__all__ = [
    "AdaLoRAConfig",
    "AdapterConfig",
    "Counts",
    "LoRAConfig",
    "PrefixConfig",
    "RankAllocator",
    "add_adalora",
    "add_adapters",
    "add_lora",
    "add_prefix",
    "count_parameters",
    "fold",
    "freeze_base",
    "load_tuning",
    "merge",
    "orthogonality",
    "ranks",
    "remove",
    "save_tuning",
    "unmerge",
]
