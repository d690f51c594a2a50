#!/bin/sh
# PyTorch's counter of operations counts nothing for attention on a CPU.
#
# package:   torch 2.14.1
# behaviour: FlopCounterMode counts 0 operations for scaled_dot_product_attention on a CPU, forwards
#            and backwards, without a warning: the fused CPU kernel has no entry in its table. With
#            the backend MATH, or written with two products, the same attention counts in full.
# expected:  the same count for the same sums, or a warning.
# seen:      fused 0, math 524288, products 524288
#            fused, with the way back 0, math 1572864
#
# Ends with 0 if this is still so, with 3 if it is different; any other status: it could not run.
set -eu
cd "$(mktemp -d)"
${PYTHON:-python3} -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6

cat > count.py <<'END'
import sys
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

q = torch.randn(1, 2, 64, 16, requires_grad=True)

def counted(attention, back=False):
    with FlopCounterMode(display=False) as counter:
        out = attention()
        if back:
            out.sum().backward()
    return counter.get_total_flops()

def fused():
    return F.scaled_dot_product_attention(q, q, q)

def math():
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, q, q)

def products():
    return (q @ q.transpose(-1, -2) / 4).softmax(-1) @ q

seen = (counted(fused), counted(math), counted(products), counted(fused, True), counted(math, True))
print("fused {}, math {}, products {}\nfused, with the way back {}, math {}".format(*seen))
sys.exit(0 if seen == (0, 524288, 524288, 0, 1572864) else 3)
END
env/bin/python -I count.py
