# make demo   set everything up, animate and render the example, print where the video is
# make test   set everything up, then lint, types and the whole test suite
# make venv   the virtual environment alone
# make clean  remove what the other targets made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP := $(VENV)/.talker-installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint types pytest venv opengl speech clean

help:
	@sed -n '/^# make/s/^# //p' Makefile

demo: venv opengl
	$(BIN)/talker animate examples/speech.wav --identity FaceTalk_170725
	$(BIN)/talker render out.npy
	@echo "The video is $(CURDIR)/out.mp4"

test: lint types pytest

lint: venv
	$(BIN)/ruff check .

types: venv
	$(BIN)/mypy

pytest: venv opengl speech
	$(BIN)/python -m pytest -n 2 --dist worksteal

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "talker needs Python 3.11 or newer, found: $$($(PYTHON) --version 2>&1); run: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    sh tools/apt.sh "Python's venv module" "python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[train,corpus,dev,plot,serve,tensorboard]'
	@touch $(STAMP)

# Rendering needs OpenGL through EGL: a GPU's driver, or Mesa's software renderer.
opengl:
	@sh tools/opengl.sh

# Tests of the corpus let synthesisers speak; where they cannot be installed, those tests are skipped.
speech:
	@sh tools/speech.sh || echo "tests of the corpus that need these programs are skipped" >&2

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache out.npy out.coefficients.npy out.json out.mp4
