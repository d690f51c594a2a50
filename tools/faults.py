"""Plant faults in lessons, and count what the comparison with the references sees of each.

    python -m tools.faults             a table in Markdown
    python -m tools.faults 03          only the faults of lesson 03

A fault is a line of code behind the set-up cell. The whole lesson runs, past claims that fail.
"""

import argparse
from dataclasses import dataclass

import nbformat
from nbval.plugin import coalesce_streams

from lessons import build
from lessons.heads import ROOT, chosen
from tests.notebook_compare import cell_keys, compare_outputs
from tools import allowed


@dataclass(frozen=True)
class Fault:
    """A mistake that somebody may make in the package."""

    name: str
    lesson: str
    code: str  # runs before the lesson's imports


HALF = """\
import torch
for kind in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD):
    def start(self, params, lr=1e-3, *args, start=kind.__init__, **kwargs):
        start(self, params, lr / 2, *args, **kwargs)
    kind.__init__ = start"""
SHIFT = """\
import torch.nn.functional as F
import course_utils.objectives.language as module
module.next_token_loss = lambda logits, x, mask: F.cross_entropy(logits[mask], x[mask])"""
CAUSAL = """\
import course_utils.models.attention as module
causal = module.causal_mask
module.causal_mask = lambda *args: causal(*args).T
import torch.nn.functional as F
plain = F.scaled_dot_product_attention
def upside_down(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, **options):
    if is_causal:
        attn_mask, is_causal = module.causal_mask(q.shape[-2], q.device), False
    return plain(q, k, v, attn_mask, dropout_p, is_causal, **options)
F.scaled_dot_product_attention = upside_down"""
PADDING = """\
import course_utils.models.joint as module
joint = module.joint_mask
module.joint_mask = lambda *args: ~joint(*args)"""
GRADIENT = """\
import course_utils.objectives.consistency as module
import torch
torch.Tensor.detach = lambda self: self"""
FAULTS = (
    Fault("a loss without its shift", "03", SHIFT),
    Fault("the causal mask upside down", "03", CAUSAL),
    Fault("half the learning rate", "03", HALF),
    Fault("half the learning rate", "06", HALF),
    Fault("no stop-gradient", "06", GRADIENT),
    Fault("half the learning rate", "07", HALF),
    Fault("the joint mask upside down", "08", PADDING),
    Fault("half the learning rate", "08", HALF),
)


def seen(fault: Fault) -> tuple[int, int]:
    """How many cells differ from the reference, and how many end in an error, such as a claim."""
    source = chosen([fault.lesson])[0]
    nb = build.compose(source)["solutions"]
    setup = next(i for i, cell in enumerate(nb.cells) if cell.cell_type == "code")
    nb.cells.insert(setup + 1, nbformat.v4.new_code_cell(fault.code))
    build.execute(nb, ROOT / "solutions", build.REFERENCE, allow_errors=True)
    del nb.cells[setup + 1]
    reference = nbformat.read(ROOT / "solutions" / f"{source.stem}.ipynb", as_version=4)
    moving, level = allowed.read().get(fault.lesson, {}), allowed.level()
    different = errors = 0
    for key, new, old in zip(cell_keys(nb.cells), nb.cells, reference.cells, strict=True):
        if new.cell_type != "code":
            continue

        def interval(place: str, old, key: str = key):
            number = moving.get((key, place))
            return None if number is None else allowed.allowed(number, level)

        failed = any(output.output_type == "error" for output in new.outputs)
        errors += failed
        varies = "varies" in new.metadata.get("tags", [])
        found, kept = coalesce_streams(new.outputs), coalesce_streams(old.outputs)
        different += not failed and bool(compare_outputs(found, kept, varies, interval))
    return different, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="numbers such as 07; none means all")
    options = parser.parse_args()
    print("| fault | lesson | cells that differ | cells that fail (claims) |\n|---|---|--:|--:|")
    for fault in FAULTS:
        if not options.lessons or fault.lesson in options.lessons:
            different, errors = seen(fault)
            print(f"| {fault.name} | {fault.lesson} | {different} | {errors} |", flush=True)


if __name__ == "__main__":
    main()
