# The front door. Everything runs in .venv and build/; nothing outside the checkout is changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

GUEST := PYTHONPATH=kernel-builder $(RUN) -m guest_image

.PHONY: help build demo test lint gpu toolkits coverage-page wheel package clean
.PHONY: test-xen guest-image guest-lock guest-reproduce

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' $(MAKEFILE_LIST)

# The environment, made again when the list of packages changes.
$(VENV)/.ready: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON) (apt install python3)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "missing: venv (apt install python3-venv)"; exit 1; }
	@command -v $${CC:-gcc} >/dev/null || { echo "missing: a C compiler (apt install gcc)"; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
		|| { echo "missing: Python.h (apt install python3-dev)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip setuptools
	$(BIN)/pip install --quiet --disable-pip-version-check cffi
	VGPU_SKIP_BUILD=1 $(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev]'
	@touch $@

build: $(VENV)/.ready ## compile the C parts
	@$(RUN) -m idm.ring_build
	@$(RUN) -m libvgpu.build
	@$(RUN) -m gpu_proxy.executor_build
	@$(RUN) -m gpu_proxy.softgpu.build

demo: build ## run CUDA programs in two zones on the software GPU
	@$(RUN) -m demo

toolkits: build ## CUDA toolkits from PyPI, for the tests that compile CUDA programs
	@$(RUN) -m demo.toolkit install compiler 13 12 11 nvrtc cccl headers

test: build toolkits ## the whole suite
	$(RUN) -m pytest $(PYTEST_ARGS)

lint: build ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

gpu: build toolkits ## the same tests on an NVIDIA GPU; says so when there is none
	@$(RUN) -m tests.gpu

test-xen: build ## the suite on real Xen in QEMU, without KVM; APP=path runs one program in a pod domain
	@$(RUN) -m tests.xen $(if $(APP),--app $(APP)) $(PYTEST_ARGS)

coverage-page: build ## write docs/coverage.md from the call table
	$(RUN) -m idm.gen.coverage --out docs/coverage.md

wheel: build ## a wheel whose libvgpu needs nothing newer than glibc 2.17
	$(RUN) -m libvgpu.build --cc zig
	rm -rf dist
	VGPU_SKIP_BUILD=1 $(BIN)/pip wheel --quiet --no-deps --no-build-isolation -w dist .

package: wheel ## install the wheel into an environment of its own and use its commands
	rm -rf build/installed && $(PYTHON) -m venv build/installed
	build/installed/bin/pip install --quiet --disable-pip-version-check dist/*.whl pytest pytest-timeout
	build/installed/bin/python -m pytest tests/end_to_end/test_installed.py

guest-image: build ## kernel and root image of a pod domain, in build/guest
	@$(GUEST) $(if $(SOURCES),--sources $(SOURCES)) $(if $(FOLDER),--folder $(FOLDER)) $(GUEST_ARGS)

guest-lock: build ## take Debian's newest packages for it
	@$(GUEST) lock $(if $(SOURCES),--sources $(SOURCES))

guest-reproduce: build ## build it twice, the kernel too, and compare every byte
	@$(GUEST) reproduce --kernel $(if $(SOURCES),--sources $(SOURCES))

clean: ## remove what was built
	rm -rf build dist libvgpu/_lib gpu_proxy/softgpu/_lib gpu_proxy/_executor*.so idm/_ring*.so
