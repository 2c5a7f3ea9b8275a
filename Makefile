# make demo and make test do their own set-up; both can be called again without fetching or building what is there.
# No test looks behind `public` and `package`, so demo and test can share one build.
SWIFT ?= swift
PACKAGES = libpng-dev libjpeg-dev libwebp-dev libopenblas-dev pkg-config

# What `vtok --version` and results say they come from. `swift build` alone does not know it, nor does a tree without git.
VTOK_COMMIT ?= $(shell git ls-files --error-unmatch Makefile >/dev/null 2>&1 && \
  echo $$(git rev-parse --short=12 HEAD)$$(git diff --quiet HEAD -- || echo -changed))
VTOK_COMMIT := $(VTOK_COMMIT)
export VTOK_COMMIT

.PHONY: demo test build setup examples format docs static install dist dist-test training-smoke interop fuzz fuzz-build threads tables \
  library wheel python-test data-test scale-test serve serve-test

demo: build
	@rm -rf .build/demo && $(VTOK) prune Images --method tome --method divprune --keep-ratio 0.25 --overlay -o .build/demo
	@echo "a token map to look at: $(CURDIR)/.build/demo/tome@0.25/overlays/cat.jpg.png"

VTOK = .build/release/vtok

build: setup
	@$(SWIFT) build -c release --product vtok

test: setup
	@$(SWIFT) test -c release --disable-testable-imports

# Everything vtok needs from the system; nothing is fetched when pkg-config finds it all.
setup:
	@command -v $(SWIFT) >/dev/null || { echo "vtok needs a Swift 6.3 toolchain: https://www.swift.org/install"; exit 1; }
	@pkg-config --exists libpng libjpeg libwebp openblas 2>/dev/null || { \
	  command -v apt-get >/dev/null || { echo "missing: install $(PACKAGES) with your package manager"; exit 1; }; \
	  if [ "$$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; }; then as=sudo; \
	  else echo "missing: as root run apt-get install $(PACKAGES)"; exit 1; fi; \
	  echo "installing $(PACKAGES)"; \
	  { $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(PACKAGES) >/dev/null 2>&1 || \
	    { $$as apt-get update -qq && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(PACKAGES) >/dev/null; }; } || \
	  { echo "missing: $(PACKAGES) could not be installed with apt-get"; exit 1; }; }

examples: setup
	@for package in Examples/*/Package.swift; do $(SWIFT) build -c release --package-path $$(dirname $$package) --scratch-path .build/examples || exit 1; done
	@$(SWIFT) test -c release --disable-testable-imports --package-path Examples/OwnMethod --scratch-path .build/examples

format:
	@$(SWIFT) format lint --strict --recursive Package.swift Sources Tests Examples Benchmarks Fuzz Server/Package.swift \
	  Server/Sources Server/Tests

docs: build
	@SWIFT=$(SWIFT) .ci/docs .build/release .build/docs

# A binary without Swift's own libraries, in a build folder of its own. Libraries that its libraries need are found beside it
# too: that is what the old kind of run path does. lib/vtok is for libvtok.so too; a program in C brings lib/vtok/system itself.
STATIC = .build-static/release/vtok
VERSION = $(shell sed -n 's/^public let vtokVersion = "\(.*\)"/\1/p' Sources/VTokEval/Provenance.swift)
PREFIX ?= /usr/local

static: setup
	@$(SWIFT) build -c release --product vtok --static-swift-stdlib --scratch-path .build-static \
	  -Xlinker --disable-new-dtags -Xlinker -rpath -Xlinker '$$ORIGIN/../lib/vtok:$$ORIGIN/../lib/vtok/system'

# The program itself writes its man pages and completions, so it must run here.
install: static
	@install -D -m 755 -s $(STATIC) $(DESTDIR)$(PREFIX)/bin/vtok && .ci/share $(STATIC) $(DESTDIR)$(PREFIX)/share && \
	  echo "$(DESTDIR)$(PREFIX)/bin/vtok"

# The archive of a release (docs/install.md), and its test.
DIST = .build/dist/vtok-$(VERSION)-linux-$(shell uname -m)

dist: static library
	@rm -rf .build/dist && SWIFT=$(SWIFT) .ci/dist $(STATIC) $(LIBRARY) $(DIST)

dist-test: dist
	@.ci/dist-test $(DIST).tar.gz

# libvtok.so with all that it needs beside it, for programs in C and for Python. CONFIG=debug builds that.
CONFIG ?= release
LIBRARY = .build/library-$(CONFIG)
MAP = $(CURDIR)/Sources/CVTokAPI/exported.map

library: setup
	@$(SWIFT) build -c $(CONFIG) --product vtok-c -Xlinker --disable-new-dtags -Xlinker -soname=libvtok.so.1 \
	  -Xlinker --version-script=$(MAP)
	@SWIFT=$(SWIFT) .ci/library .build/$(CONFIG) $(LIBRARY)

# One wheel with the library inside, in .build/wheel; and its tests, in an environment that has nothing but the wheel.
wheel: library .build/pip/bin/pip
	@rm -rf .build/wheel && VTOK_FOLDER=$(CURDIR)/$(LIBRARY) .build/pip/bin/pip wheel -q --no-deps -w .build/wheel ./python
	@ls .build/wheel/*.whl

.build/pip/bin/pip:
	@python3 -m venv .build/pip

python-test: wheel
	@$(SWIFT) build -c $(CONFIG) --product vtok
	@python3 -m venv --clear .build/python-test && .build/python-test/bin/pip install -q .build/wheel/*.whl -r python/tests/requirements.txt
	@cd python/tests && VTOK=$(CURDIR)/.build/$(CONFIG)/vtok $(CURDIR)/.build/python-test/bin/python -m pytest -q .

# What jobs export and read, with the libraries that it is for: NumPy, WebDataset, pyarrow, datasets.
data-test: wheel
	@$(SWIFT) build -c $(CONFIG) --product vtok
	@python3 -m venv --clear .build/data-test && .build/data-test/bin/pip install -q .build/wheel/*.whl -r Tests/Interop/data/requirements.txt
	@cd Tests/Interop/data && HF_HUB_OFFLINE=1 HF_HOME=$(CURDIR)/.build/data-test/cache VTOK=$(CURDIR)/.build/$(CONFIG)/vtok \
	  $(CURDIR)/.build/data-test/bin/python -m pytest -q .

# The recipes of contrib/ on 1,000 images and two workers, one of which is killed, against one process (docs/scale.md).
scale-test: build wheel
	@Tests/Interop/scale/run.sh $(CURDIR)/$(VTOK) $(CURDIR)/.build/wheel $(if $(RESULTS),--results $(RESULTS))

# A server for clients of OpenAI's API (docs/server.md), and its tests, with the official Python client and under load.
serve: setup
	@$(SWIFT) build -c $(CONFIG) --package-path Server --product vtok-serve

serve-test: serve
	@$(SWIFT) build -c $(CONFIG) --product vtok
	@$(SWIFT) test -c $(CONFIG) --package-path Server --disable-testable-imports
	@python3 -m venv .build/serve-test && .build/serve-test/bin/pip install -q -r Server/Tests/clients/requirements.txt
	@for test in openai_client load; do CONFIG=$(CONFIG) .build/serve-test/bin/python Server/Tests/clients/$$test.py || exit 1; done

# The training recipes from start to files, on a few images. Their Python packages go into .build/training, for interop too;
# PYTHON=path of an interpreter that has them skips that.
PYTHON ?= $(CURDIR)/.build/training/bin/python
RECIPES = vqa_small vqa_tiles vqa_pages pmod quecc explainability

training-smoke: $(PYTHON)
	@for recipe in $(RECIPES); do $(PYTHON) Benchmarks/training/$$recipe.py --smoke || exit 1; done

# All tables of Benchmarks/results again, and the pages that show them; QUICK=1: a part of each into .build/quick.
tables: build
	@VTOK=$(CURDIR)/$(VTOK) Benchmarks/tables.sh $(if $(QUICK),--quick)

# Small models of every family as today's transformers writes them, and its greedy answers (Tests/Interop).
interop: build $(PYTHON)
	@$(PYTHON) Tests/Interop/interop.py $(FAMILY)

$(CURDIR)/.build/training/bin/python: Benchmarks/training/requirements.txt
	@python3 -m venv .build/training && .build/training/bin/pip install -q -r $< && touch $@

# Readers of what strangers send, under libFuzzer and the address sanitizer (Fuzz/README.md). SECONDS each, TARGET one of
# them or several, JOBS at a time; SECONDS=0 reads what is known already. RESULTS=FILE keeps the figures.
SECONDS ?= 60
JOBS ?= 1

fuzz: fuzz-build
	@python3 Fuzz/run.py --seconds $(SECONDS) --jobs $(JOBS) $(if $(RESULTS),--results $(RESULTS)) $(TARGET)

# SwiftPM hands the two sanitizers over in any order, and the compiler forgets the fuzzer's counters unless it comes last.
fuzz-build: setup
	@command -v python3 >/dev/null || { echo "make fuzz needs python3: install it with your package manager"; exit 1; }
	@mkdir -p Fuzz/.build && { $(SWIFT) build -c release --package-path Fuzz --sanitize=address --sanitize=fuzzer \
	  -Xswiftc -sanitize=address,fuzzer >Fuzz/.build/build.log 2>&1 || { grep -v "gold: warning" Fuzz/.build/build.log; exit 1; }; }

# The parallel parts under the thread sanitizer.
threads: setup
	@Fuzz/threads.sh
