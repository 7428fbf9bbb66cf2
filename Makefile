# Thin: meson does the work. `make` builds, `make demo` shows, `make check` runs every test.
BUILD ?= build

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

demo:
	scripts/install-packages demo
	$(MAKE) all
	scripts/demo $(BUILD)

check:
	scripts/install-packages test
	scripts/check plain modes asan tsan lint

bench:
	scripts/install-packages bench
	$(MAKE) all
	meson test -C $(BUILD) --benchmark --verbose

install: all
	meson install -C $(BUILD)

clean:
	rm -rf build build-asan build-tsan

.PHONY: all demo check bench install clean
