#!/bin/sh
# nbconvert's default HTML and slides drop the alt text of an image output.
#
# package:   nbconvert 7.17.2
# behaviour: an image whose output metadata holds {"image/png": {"alt": "..."}} keeps this text in
#            the templates `classic` and `basic`; `lab`, the default of --to html, and the slides
#            write "No description has been provided for this image" in its place.
# expected:  that every template keeps it, as all are given the same notebook.
# seen:      classic: kept, basic: kept, lab: lost, slides: lost
#
# Ends with 0 if this is still so, with 3 if it is different; any other status: it could not run.
set -eu
cd "$(mktemp -d)"
${PYTHON:-python3} -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check nbconvert==7.17.2 nbformat==5.11.1

cat > picture.py <<'END'
import base64, struct, sys, zlib
import nbformat
from nbconvert import HTMLExporter, SlidesExporter

def chunk(kind, content):
    head = struct.pack(">I", len(content)) + kind + content
    return head + struct.pack(">I", zlib.crc32(kind + content))

header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)  # one grey pixel
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
png += chunk(b"IDAT", zlib.compress(b"\x00\x80")) + chunk(b"IEND", b"")
alt = "one grey pixel"
output = nbformat.v4.new_output(
    "display_data", {"image/png": base64.b64encode(png).decode()}, metadata={"image/png": {"alt": alt}}
)
cell = nbformat.v4.new_code_cell("show()", outputs=[output])
notebook = nbformat.v4.new_notebook(cells=[cell])
nbformat.validate(notebook)
exporters = {name: HTMLExporter(template_name=name) for name in ("classic", "basic", "lab")}
exporters["slides"] = SlidesExporter()
pages = {name: exporter.from_notebook_node(notebook)[0] for name, exporter in exporters.items()}
instead = "No description has been provided for this image"
for page in pages.values():
    assert (alt in page) != (instead in page)
seen = ", ".join(f"{name}: {'kept' if alt in page else 'lost'}" for name, page in pages.items())
print(seen)
sys.exit(0 if seen == "classic: kept, basic: kept, lab: lost, slides: lost" else 3)
END
env/bin/python -I picture.py
