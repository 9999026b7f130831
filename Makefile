# Thin on purpose: meson builds, tools/ and tests/harness/ do the work. `make help` lists.
#
#   BUILD=dir   build directory (default build)      JOBS=n   compilers at a time
#   V=1         show the commands

BUILD ?= build
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
MESON_ARGS ?=

ifeq ($(V),)
Q := @
endif

# configure DIR, MESON OPTIONS: make DIR ready, again when the set of C files has changed,
# then compile. One at a time: two makes in one tree wait for each other.
define build
	$(Q)tools/build $(1) -j $(JOBS) -- $(2) $(MESON_ARGS)
endef

.PHONY: all
all: setup
	$(call build,$(BUILD),--prefix $(PREFIX))

.PHONY: setup
setup:
	$(Q)tools/setup

.PHONY: demo demo-live
demo: all
	$(Q)$(BUILD)/pipesfs demo

demo-live: all
	$(Q)$(BUILD)/pipesfs demo --live

# Unit tests, then end to end; T='t0100*' picks end-to-end tests, U=ring unit suites.
.PHONY: check
check:
	$(Q)tools/setup --tests
	$(call build,$(BUILD),--prefix $(PREFIX))
	$(Q)tools/check --build $(BUILD) $(if $(U),--unit '$(U)') $(if $(T),--e2e '$(T)')

# One tree for the tests, the fuzz targets and lint: clang, every warning an error.
define sanitized
	$(Q)tools/sanitized -j $(JOBS)
endef

.PHONY: asan tsan
asan:
	$(Q)tools/setup --tests --lint
	$(call sanitized)
	$(Q)tools/check --build build-asan $(if $(U),--unit '$(U)') $(if $(T),--e2e '$(T)')

# Threads meet in the ring and in the graph; TSan watches those.
tsan:
	$(Q)tools/setup --tests
	$(Q)tools/build build-tsan -j $(JOBS) -t '/unit-(ring|graph)-' -- $(MESON_ARGS) \
		-Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false
	$(Q)tools/check --build build-tsan --unit 'ring graph' --no-e2e

# Every fuzz target for FUZZ_SECONDS, as many at a time as there are CPUs.
FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz:
	$(Q)tools/setup --lint
	$(call sanitized)
	$(Q)tools/fuzz --build build-asan --seconds $(FUZZ_SECONDS)

.PHONY: cover
cover:
	$(Q)tools/setup --cover
	$(call build,build-cover,-Dbuildtype=debug -Db_coverage=true)
	$(Q)tools/check --build build-cover
	$(Q)gcovr --root . --filter src/ --object-directory build-cover --html-details build-cover/coverage.html \
		--print-summary --sort-percentage

.PHONY: bench
bench: all
	$(Q)tools/setup --bench
	$(Q)bench/run --build $(BUILD) $(B); status=$$?; bench/book --build $(BUILD) && exit $$status

.PHONY: lint fmt
lint:
	$(Q)tools/setup --lint
	$(Q)tools/lint

fmt:
	$(Q)tools/setup --lint
	$(Q)tools/format

.PHONY: install
install: all
	$(Q)DESTDIR='$(DESTDIR)' meson install -C $(BUILD) --skip-subprojects --no-rebuild --quiet
	$(Q)tools/install-links '$(DESTDIR)' $(BUILD)

.PHONY: clean distclean
clean:
	rm -rf $(BUILD) build-*

distclean: clean
	rm -rf subprojects/packagecache subprojects/fuse-*

.PHONY: help
help:
	@echo 'make            build/pipesfs, after installing what the build needs'
	@echo 'make demo       a capture file through a mounted pipeline, in under a minute'
	@echo 'make demo-live  the same with live traffic between two network namespaces (root)'
	@echo 'make check      unit and end-to-end tests      make asan tsan   the same, sanitized'
	@echo 'make fuzz       every fuzz target for a minute make cover       coverage report'
	@echo 'make bench      all into bench/results         make lint fmt    the style'
	@echo 'make install    into PREFIX=/usr/local         make clean distclean'

COMMA := ,
