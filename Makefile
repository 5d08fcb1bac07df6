# peppy: `make demo` shows it at work, `make test` proves it. Everything is kept in .venv and built on demand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CSOURCES := $(wildcard csrc/*.c csrc/*.h csrc/python/*.[ch] csrc/shim/*.c csrc/shim/*.h)

.PHONY: demo test check bench asan asan-python ubsan tsan torture clean machine

demo: $(VENV)/ready
	$(BIN)/python examples/demo.py

test: $(VENV)/ready
	$(MAKE) -C csrc check
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(MAKE) -C csrc warnings
	$(CC) -std=c11 -Icsrc -isystem "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
	  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Werror -O2 -fsyntax-only csrc/python/*.c

bench: $(VENV)/ready
	$(BIN)/python -m bench

asan ubsan tsan:
	$(MAKE) -C csrc $@

# Python's own modules and what calls them, on a copy of the package that is built with sanitizers.
SANITIZED := build/sanitized
asan-python: $(VENV)/ready
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED) && cp -r src/peppy $(SANITIZED)
	CC='$(CC) -g -fno-omit-frame-pointer -fsanitize=address,undefined' $(BIN)/python setup.py --quiet build_ext \
	  --build-lib $(SANITIZED) --build-temp $(SANITIZED)/temp --force
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" PYTHONMALLOC=malloc PYTHONPATH=$(SANITIZED) \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	  $(BIN)/python -m pytest -p no:cacheprovider --timeout 300 tests/unit/ring tests/unit/codec tests/unit/loop tests/unit/runtime

torture: $(VENV)/ready
	$(MAKE) -C csrc torture
	PEPPY_TORTURE=full $(BIN)/python -m pytest -m torture --timeout 0

clean:
	$(MAKE) -C csrc clean
	rm -rf $(VENV) build dist src/*.egg-info src/peppy/*/*.so src/peppy/_bin

# The machine must have a compiler, Python's headers and its venv module: say what is missing and how to get it.
machine:
	@PYTHON='$(PYTHON)' CC='$(CC)' sh .ci/machine

$(VENV)/bin/python: | machine
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

# An editable install keeps a stale core, so a change below csrc/ builds it again.
$(VENV)/ready: pyproject.toml setup.py cffi_build.py $(CSOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group dev
	$(BIN)/python -m pip install --quiet --editable .
	touch $@
