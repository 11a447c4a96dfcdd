# Everything a fresh machine needs is Python 3.11 or newer with pip, and make: `make reproduce` does the rest.
# Nothing outside this folder is changed, apart from uv's download cache.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/uv-$(UV_VERSION)/bin/uv
BIN := .venv/bin
TORCH_VERSION := 2.13.0
TORCH := .venv/.torch-$(TORCH_VERSION)
DEVELOPMENT := .venv/.requirements-dev $(TORCH)
INSTALL = $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python
# `make test PYTEST_ARGS="-k timing"` narrows a run.
PYTEST = $(BIN)/python -m pytest $(PYTEST_ARGS)
CODE = $(wildcard src tests tools benchmarks examples docs)

export UV_PYTHON_DOWNLOADS := never

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help reproduce models test quick draw processors lint format types bench docs package lock clean

help:
	@echo "make reproduce  the paper's results: one table, and figures in out/reproduce"
	@echo "make models     what real models need (torch), for lpspec generate, record and calibrate"
	@echo "make test       the whole test suite"
	@echo "make quick      the tests that take seconds"
	@echo "make draw       the tests of properties on newly drawn inputs (the others draw the same ones every time)"
	@echo "make processors tests of decoding with torch held to older processors"
	@echo "make lint       ruff, rules and format (make format repairs)"
	@echo "make types      mypy --strict"
	@echo "make bench      speed of the simulator itself"
	@echo "make docs       the documentation as a site, in out/site"
	@echo "make package    wheel and source archive in dist, each installed and tried in an empty environment"
	@echo "make lock       renew the lock files (make lock UPGRADE=--upgrade for newer versions)"
	@echo "make clean      remove what make made here"

reproduce: .venv/.requirements
	@$(BIN)/lpspec reproduce --figure out/reproduce

models: .venv/.requirements-models $(TORCH)

test: $(DEVELOPMENT)
	@$(PYTEST) --numprocesses=auto

quick: $(DEVELOPMENT)
	@$(PYTEST) --numprocesses=auto -m "not slow"

draw: $(DEVELOPMENT)
	@$(PYTEST) --numprocesses=auto -m hypothesis --hypothesis-profile=drawn

bench: $(DEVELOPMENT)
	@$(PYTEST) benchmarks

lint: .venv/.requirements-dev
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/ruff format --quiet --check $(CODE) || { echo "not in ruff's format: make format repairs it" >&2; exit 1; }

format: .venv/.requirements-dev
	@$(BIN)/ruff check --quiet --fix $(CODE)
	@$(BIN)/ruff format --quiet $(CODE)

types: $(DEVELOPMENT)
	@$(BIN)/mypy --no-error-summary $(CODE)

# torch takes other kernels on other processors: what decodes must hold under those for older ones too. CI runs this.
# A level above the processor's own is the processor's own.
processors: $(DEVELOPMENT)
	@for level in AVX2 AVX512_CORE; do \
		echo "tests of decoding, torch's kernels no newer than $$level's:"; \
		ONEDNN_MAX_CPU_ISA=$$level $(PYTEST) --numprocesses=auto -m "not slow" tests/decoding || exit 1; \
	done

# A warning is an error: a link that leads nowhere, a page that no list names, a notebook that fails.
docs: .venv/.requirements-dev
	@$(BIN)/python -m sphinx -q -W --keep-going -b html -d .cache/site docs out/site
	@echo "wrote out/site/index.html"

# What is published must work where nothing else is: each archive gets an environment of its own, and runs there.
package: .venv/.requirements-dev
	@rm -rf dist
	@$(BIN)/hatchling build -d dist 2>/dev/null
	@for archive in dist/*; do \
		$(UV) venv --quiet --clear .cache/package && \
		$(UV) pip install --quiet --constraints requirements.lock --python .cache/package/bin/python "$$archive" || exit 1; \
		echo "$$archive: $$(cd .cache && package/bin/lpspec --version), installed alone"; \
		(cd .cache && package/bin/lpspec price --system lp-spec --json - >/dev/null) || exit 1; \
	done
	@cd .cache && package/bin/lpspec compare --model tinyllama --systems npu,lp-spec --new-tokens 2 --fidelity analytic

# The lock files carry the build backend too, so that the package is installed offline once they are in. They leave
# torch out, whose build (CPU or which GPU) is the machine's choice, and hold what every build of it needs.
lock: | $(UV)
	@$(call compile,requirements.lock,)
	@$(call compile,requirements-models.lock,--extra models --constraints requirements.lock,$(TORCH_NEEDS))
	@$(call compile,requirements-dev.lock,--extra models --extra frames --extra explore --extra serve --group dev --group docs --group models-dev \
		--constraints requirements-models.lock,$(TORCH_NEEDS))

TORCH_NEEDS := filelock fsspec jinja2 networkx setuptools sympy typing-extensions
compile = printf '%s\n' hatchling editables $(3) | UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
	--output-file $(1) $(2) $(UPGRADE) pyproject.toml -

clean:
	@rm -rf .venv .tools .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks dist out/reproduce
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Setting up: uv from the package index, an environment, the locked packages, then this package as it stands here.
# A stamp is older than its lock file only when that file has changed since; each other lock holds the runtime's.
.venv/.%: %.lock pyproject.toml | $(BIN)/python
	@echo "setting up .venv from $< (about 10 s, once)" >&2
	@$(INSTALL) --require-hashes -r $<
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch .venv/.requirements $@

# uv takes torch from PyTorch's own index of CPU builds alone; where that cannot be reached within seconds, pip takes it
# from whatever this machine's settings of pip name, which on Linux may be a build with CUDA: its size is said first.
# `--no-config`, for pyproject.toml keeps torch out of the lock files.
$(TORCH): | $(BIN)/python
	@if UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=0 $(CPU_TORCH) --quiet --dry-run 2>/dev/null; then \
		echo "setting up torch $(TORCH_VERSION), its CPU build, in .venv: about 200 MB, once" >&2; $(CPU_TORCH); \
	else \
		case "$$($(PIP_TORCH) --use-feature=fast-deps --quiet --dry-run --report - 2>/dev/null)" in \
			*'"name": "nvidia-'*) size="about 2.7 GB, for pip finds its build with CUDA alone" ;; \
			*) size="about 200 MB" ;; \
		esac; \
		echo "setting up torch $(TORCH_VERSION) in .venv: $$size, once" >&2; $(PIP_TORCH); \
	fi
	@touch $@

CPU_TORCH = $(UV) pip install --no-config --python $(BIN)/python --torch-backend=cpu torch==$(TORCH_VERSION)
PIP_TORCH = $(BIN)/python -m pip install --disable-pip-version-check torch==$(TORCH_VERSION)

$(BIN)/python: | $(UV)
	@$(UV) venv --quiet --seed --clear .venv

$(UV):
	@echo "setting up .tools with uv $(UV_VERSION) (once)" >&2
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --target .tools/uv-$(UV_VERSION) uv==$(UV_VERSION)
