# `make help` lists the targets. Everything is run with the environment in .venv, which is made
# on first use and renewed when pyproject.toml or constraints.txt change.

PY     := .venv/bin/python
MARK   := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
INSTALLED := .venv/.installed-$(MARK)
TESTING   := .venv/.installed-dev-$(MARK)
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help lab test lesson notebooks claims spreads gpu smoke avx2 timings bench readme repository release

help:  ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1\t/p' Makefile | expand -t 22

.venv:
	@for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	    if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "making .venv with $$($$p --version)"; \
	        $$p -m venv .venv || { rm -rf .venv; echo "Python's venv module is needed (Debian: python3-venv)"; exit 1; }; \
	        exit 0; fi; done; \
	echo "Python 3.11 or newer is needed and was not found"; exit 1

$(INSTALLED): | .venv
	@echo "installing what the course needs (some minutes the first time)"
	@$(PIP) -e '.[lab]'
	@touch $@

$(TESTING): | $(INSTALLED)
	@echo "installing what the tests need"
	@$(PIP) -e '.[lab,dev]'
	@touch $@

lab: $(INSTALLED)  ## open the course in JupyterLab, on your own copy in my/ (ARGS="--port 9000")
	@$(PY) -m tools.lab $(ARGS)

test: $(TESTING)  ## every test: the package, the lessons, and both notebooks of each lesson
	$(PY) -m pytest $(ARGS)

lesson: $(TESTING)  ## build and execute both notebooks of one lesson: make lesson N=07
	@test -n "$(N)" || { echo "which lesson? make lesson N=07"; exit 2; }
	@$(PY) -m lessons.build $(N)

notebooks: $(TESTING)  ## build and execute all notebooks
	@$(PY) -m lessons.build
