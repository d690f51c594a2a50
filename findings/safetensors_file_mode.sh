#!/bin/sh
# safetensors writes files that nobody else can read, whatever the umask.
#
# package:   safetensors 0.8.0
# with:      numpy 2.4.6
# behaviour: save_file gives its file the mode 0600 under umask 022, where open() gives 0644. A shared
#            cache, or weights that are handed over in a folder, can't be read by other users.
# expected:  the mode that the umask leaves, as open() gives it.
# seen:      open():      644
#            save_file(): 600
#
# Ends with 0 if this is still so, with 3 if it is different; any other status: it could not run.
set -eu
cd "$(mktemp -d)"
${PYTHON:-python3} -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

cat > modes.py <<'END'
import os
import stat

import numpy as np
from safetensors.numpy import save_file

os.umask(0o022)
open("plain", "wb").close()
save_file({"weight": np.zeros(2, dtype=np.float32)}, "weights")
print(*(f"{stat.S_IMODE(os.stat(name).st_mode):o}" for name in ("plain", "weights")))
END
seen=$(env/bin/python -I modes.py)
echo "open(), save_file(): $seen"
test "$seen" = "644 600" || exit 3
