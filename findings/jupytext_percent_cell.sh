#!/bin/sh
# jupytext loses text that begins with "%% " on the way through py:percent.
#
# package:   jupytext 1.19.6
# behaviour: a Markdown cell that is one line "%% ..." is written into the mark of the cell, and read
#            back with an empty source (the text is then in the metadata, as magic_args). Where "%% "
#            begins a later line, the cell ends there, and the line becomes the title of an empty
#            code cell. "%%time", without a blank, comes back as it was.
# expected:  the same cells back, as the lines of a text cell are comments in the script.
# seen:      [('markdown', '')]
#            [('markdown', 'before\\n'), ('code', '')]
#            [('markdown', '%%time and more')]
#
# Ends with 0 if this is still so, with 3 if it is different; any other status: it could not run.
set -eu
cd "$(mktemp -d)"
${PYTHON:-python3} -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check jupytext==1.19.6 nbformat==5.11.1

cat > percent.py <<'END'
import sys
import jupytext, nbformat

def there_and_back(text):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    nbformat.validate(notebook)
    again = jupytext.reads(jupytext.writes(notebook, fmt="py:percent"), fmt="py:percent")
    return [(cell.cell_type, cell.source) for cell in again.cells]

seen = [
    there_and_back("%% is how a cell magic begins"),
    there_and_back("before\n\n%% after"),
    there_and_back("%%time and more"),
]
print(*seen, sep="\n")
known = [
    [("markdown", "")],
    [("markdown", "before\n"), ("code", "")],
    [("markdown", "%%time and more")],
]
sys.exit(0 if seen == known else 3)
END
env/bin/python -I percent.py
