#!/bin/sh
# ruff's rule SIM118 and its fix break a loop over a safetensors file.
#
# package:   ruff 0.17.6
# with:      safetensors 0.8.0
# behaviour: SIM118 reports "for key in file.keys()" of an open safetensors file, and its fix (one of
#            those marked unsafe) writes "for key in file". The file object has keys() but is no
#            mapping: it can be neither iterated nor asked with "in". The program then raises.
# expected:  the loop is left alone, or the fixed program prints the same names.
# seen:      before: weight
#            after:  TypeError: 'builtins.safe_open' object is not iterable
#
# Ends with 0 if this is still so, with 3 if it is different; any other status: it could not run.
set -eu
cd "$(mktemp -d)"
${PYTHON:-python3} -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check ruff==0.17.6 safetensors==0.8.0 \
    numpy==2.4.6

cat > names.py <<'END'
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

save_file({"weight": np.zeros(2, dtype=np.float32)}, "one.safetensors")
with safe_open("one.safetensors", "np") as file:
    for key in file.keys():
        print(key)
END
before=$(env/bin/python -I names.py)
echo "before: $before"
test "$before" = weight
env/bin/ruff check --isolated --quiet --select SIM118 --fix --unsafe-fixes names.py
grep -q "for key in file:" names.py || exit 3
after=$(env/bin/python -I names.py 2>&1 | tail -n 1)
echo "after:  $after"
test "$after" = "TypeError: 'builtins.safe_open' object is not iterable" || exit 3
