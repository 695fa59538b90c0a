# The commands of the house; `make help` lists them. Everything Python lives in .venv, nothing else is touched.
# `demo` and `test` first bring up real engines where none run (tests/real/engines): as root on Debian or Ubuntu
# that installs packages; on a machine that has Docker and libvirt it uses them and installs nothing.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test check lab bench fuzz torture soak schemas journals pictures notebook constraints engines venv validators down clean
MAKEFLAGS += --no-print-directory

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: engines venv  ## compare host, container and VM serving one web page (a few minutes the first time)
	@echo 'demo: vmvc run experiments/quickstart.yaml'
	$(BIN)/vmvc run experiments/quickstart.yaml $(ARGS)

test: ENGINE_FLAGS := --browser
test: engines venv validators  ## check, then every test, against real engines; ARGS='-k journal' narrows
	@$(if $(strip $(ARGS)),$(MAKE) check; echo 'test: pytest'; exec $(BIN)/pytest $(ARGS))
	failed=0 lab=''
	if [ -n "$${CI:-}" ] || tests/real/lab/lab path >/dev/null; then
	  echo 'test: a part of the lab in which VirtualBox starts machines: beside the next two (the whole of it: make lab)'
	  PYTHON=$(BIN)/python VMVC_LAB_TIMEOUT=2400 nice -n 5 tests/real/lab/lab run tests/real/lab/check short >$(VENV)/lab.log 2>&1 & lab=$$!
	  trap 'kill $$lab 2>/dev/null && wait $$lab || true' EXIT
	fi
	$(MAKE) check
	echo 'test: pytest, all that needs no engine'
	$(BIN)/pytest -n 4 --ignore tests/real || failed=1
	echo 'test: pytest, on the real engines, what may have neighbours: three at a time'
	$(BIN)/pytest tests/real -m 'not quiet' -n 3 --dist loadgroup --durations 20 || failed=1
	if [ -n "$$lab" ]; then
	  echo 'test: waiting for the lab'
	  wait $$lab || failed=1
	  trap - EXIT
	  cat $(VENV)/lab.log
	else
	  echo 'test: without the lab in which VirtualBox and KVM start machines, since it is not made here: make lab'
	fi
	echo 'test: pytest, on the real engines, what weighs the host: one at a time'
	$(BIN)/pytest tests/real -m quiet --durations 10 || failed=1
	exit $$failed

lab: venv  ## tests of VirtualBox and real KVM that start machines, in an emulated one (half an hour; ARGS=short: a part)
	@PYTHON=$(BIN)/python tests/real/lab/lab run tests/real/lab/check $(ARGS)

check: venv  ## lint, format, types, layers, dependencies: silent where all is well (about 30 s)
	@failed=
	step() {
	  local name=$$1 said
	  shift
	  echo "check: $$name"
	  said=$$("$(BIN)/$$1" "$${@:2}" 2>&1) || { echo "$$said"; failed="$$failed $$name"; }
	}
	step lint ruff check .
	step format ruff format --check .
	step types mypy
	step layers lint-imports --no-logo
	step dependencies deptry --no-ansi .
	[ -z "$$failed" ] || { echo "check: failed:$$failed" >&2; exit 1; }

bench: engines venv  ## measure vmvc itself; never fails the build
	@$(BIN)/pytest -q -s -p no:cacheprovider --timeout 1800 \
	  -o python_files='bench_*.py' -o python_functions='bench_*' tests/bench $(ARGS)

RUNS ?= 100000
fuzz: venv  ## as many generated and mutated files as RUNS says (100000: some 15 minutes) against the loader
	@echo 'fuzz: Hypothesis, half of them'
	VMVC_FUZZ_EXAMPLES=$$(($(RUNS) / 10)) $(BIN)/pytest -q --timeout 7200 tests/test_loading_fuzz.py
	echo 'fuzz: atheris, by coverage, the other half'
	$(BIN)/python -m tests.fuzz.guided -runs=$$(($(RUNS) / 2)) 2>&1 | grep -v -e REDUCE -e NEW

KILLS ?= 100
torture: engines venv  ## kill runs at every instant on fake and KILLS times on each engine (100: some 30 minutes)
	@VMVC_KILLS=all $(BIN)/pytest -q --timeout 7200 tests/test_exactly_once.py
	VMVC_KILLS=$(KILLS) $(BIN)/pytest -q tests/real/test_killed.py $(ARGS)

MINUTES ?= 60
soak: engines venv  ## one run on Docker for MINUTES (60): its memory, threads and file handles stay flat
	@VMVC_SOAK=$(MINUTES) $(BIN)/pytest -q -s tests/real/test_soak.py $(ARGS)

schemas: venv  ## write schemas/ anew from the models
	@$(BIN)/vmvc schema --write schemas/

pictures: venv  ## take the README's pictures anew, in the browser
	@VMVC_PICTURES=write $(BIN)/pytest -q -p no:cacheprovider tests/real/test_pictures.py

notebook: venv  ## execute the example notebook anew on the reference run
	@$(BIN)/python -m tests.notebook 2>/dev/null

journals: venv  ## keep a run of this version in tests/files/journals, which later ones must read
	@$(BIN)/python -m tests.journals

constraints:  ## choose the newest allowed versions of all dependencies anew
	@scratch=$$(mktemp -d)
	trap 'rm -rf "$$scratch"' EXIT
	echo 'constraints: a fresh environment with the newest versions (about a minute)'
	$(PYTHON) -m venv "$$scratch/venv"
	"$$scratch/venv/bin/pip" install -q --disable-pip-version-check -e '.[libvirt,dev]' 2>"$$scratch/log" \
	  || { cat "$$scratch/log" >&2; exit 1; }
	{ echo "# Every version that the tests have seen, Python $$($(PYTHON) -c 'import platform; print(platform.python_version())'). Written by: make constraints"
	  "$$scratch/venv/bin/pip" freeze --exclude-editable | sort -f; } >"$$scratch/constraints"
	cp "$$scratch/constraints" constraints.txt

engines:  ## bring up Docker Engine and libvirt where they do not run
	@tests/real/engines up $(ENGINE_FLAGS)

# Made anew in place when what it depends on has changed: the two files, the Python, the libvirt headers.
venv:
	@command -v $(PYTHON) >/dev/null || { echo 'venv: no $(PYTHON) here; cure: apt-get install python3 python3-venv' >&2; exit 3; }
	version=$$($(PYTHON) -c 'import sys; print(*sys.version_info[:3], sep=".") if sys.version_info >= (3, 11) else sys.exit(1)') \
	  || { echo 'venv: vmvc needs Python 3.11 or newer; cure: make PYTHON=python3.12 ...' >&2; exit 3; }
	extras=dev
	if command -v gcc >/dev/null && pkg-config --exists libvirt 2>/dev/null; then extras=libvirt,dev; fi
	wanted="$$extras $$version $$(pwd) $$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)"
	if [ "$$(cat $(VENV)/.installed 2>/dev/null)" = "$$wanted" ]; then exit 0; fi
	echo "venv: installing vmvc[$$extras] into $(VENV) (about 30 s)"
	[ $$extras = libvirt,dev ] || echo 'venv: without the libvirt backend: libvirt headers, pkg-config or gcc are missing (Debian: libvirt-dev pkg-config gcc python3-dev)'
	if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    echo 'venv: installing python3-venv with apt'
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq -y install --no-install-recommends python3-venv; } >/dev/null
	  else
	    echo 'venv: this Python cannot make environments; cure: sudo apt-get install python3-venv' >&2; exit 3
	  fi
	fi
	case "$$(cat $(VENV)/.installed 2>/dev/null)" in *" $$version $$(pwd) "*) ;; *) rm -rf $(VENV)/.installed; $(PYTHON) -m venv --clear $(VENV) ;; esac
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[$$extras]" >$(VENV)/install.log 2>&1 \
	  || { tail -n 20 $(VENV)/install.log >&2; echo 'venv: pip failed: see $(VENV)/install.log' >&2; exit 1; }
	echo "$$wanted" >$(VENV)/.installed

# Validators of bundles and citations; apart from vmvc's own environment, since they ask for older libraries.
validators: venv
	@wanted="$$(sha256sum <tests/validators.txt) $$($(BIN)/python -V)"
	if [ "$$(cat $(VENV)/validators/.installed 2>/dev/null)" = "$$wanted" ]; then exit 0; fi
	echo 'validators: installing into $(VENV)/validators (about 20 s)'
	$(BIN)/python -m venv --clear $(VENV)/validators
	$(VENV)/validators/bin/pip install -q --disable-pip-version-check -r tests/validators.txt >$(VENV)/install.log 2>&1 \
	  || { tail -n 20 $(VENV)/install.log >&2; echo 'validators: pip failed: see $(VENV)/install.log' >&2; exit 1; }
	echo "$$wanted" >$(VENV)/validators/.installed

down:  ## remove what dead runs left, stop the engines that were started here and the guests on them
	@if [ -x $(BIN)/vmvc ]; then $(BIN)/vmvc clean 2>/dev/null || true; fi
	tests/real/engines down

clean:  ## remove what these commands made; results stay
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find vmvc tests -name __pycache__ -type d -prune -exec rm -rf {} +
