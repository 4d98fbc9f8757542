# Everything runs from here: `make` lists the targets. Made for Debian 12; other systems need QGIS.

NAME   := furrow
PYTHON ?= /usr/bin/python3
PY     := .venv/bin/python
APT    := qgis python3-qgis python3-venv python3-scipy python3-matplotlib xvfb xauth git

# A profile of its own: nothing here reads or changes the user's QGIS settings.
export QGIS_PLUGINPATH         := $(CURDIR)/build/plugins
export QGIS_CUSTOM_CONFIG_PATH := $(CURDIR)/build/profile
export XDG_RUNTIME_DIR         ?= $(CURDIR)/build/xdg
export PYTHONUNBUFFERED        := 1
# QGIS' own Python takes the first python3 on PATH as its home: with the venv first both see the same.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Debian's /usr/bin/qgis_process of 3.22 passes an unknown option and fails: call the .bin.
QGIS_PROCESS := $$(command -v qgis_process.bin || command -v qgis_process)
QGIS         := $$(command -v qgis.bin || command -v qgis)
XVFB         := xvfb-run -a -s "-screen 0 1400x900x24"
HEADLESS     := QT_QPA_PLATFORM=offscreen

.DEFAULT_GOAL := help
.PHONY: help setup system link demo test run lint bench bench-segmenters bench-delineation bench-field-classifier bench-scene bench-shift bench-refinement bench-planar bench-models train-field-model test-models scene-sheet package deploy translations clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1|\2/p' Makefile | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

setup: system .venv/.done link ## install QGIS (Debian) and the development tools into .venv

system:
	@$(CHECK_SYSTEM)

# dpkg knows nothing of a QGIS built by hand, so what counts is whether it answers.
define CHECK_SYSTEM
missing=""; \
for tool in git xvfb-run xauth; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
command -v qgis_process.bin >/dev/null || command -v qgis_process >/dev/null || missing="$$missing qgis"; \
"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
$(HEADLESS) "$(PYTHON)" -c 'import qgis.core, scipy, matplotlib, osgeo.gdal_array' 2>/dev/null || missing="$$missing python3-qgis python3-scipy python3-matplotlib"; \
test -n "$$missing" || exit 0; \
if ! command -v apt-get >/dev/null; then \
  echo "furrow: missing:$$missing. There is no apt-get here: install QGIS 3.22 or newer with its Python (for $(PYTHON)) by your system's means, then run make again." >&2; exit 1; fi; \
sudo=""; \
if [ "$$(id -u)" != 0 ]; then sudo=sudo; command -v sudo >/dev/null || { \
  echo "furrow: missing:$$missing. Run as root: apt-get install --no-install-recommends $(APT)" >&2; exit 1; }; fi; \
echo "Installing:$$missing"; \
$$sudo apt-get -q -o DPkg::Lock::Timeout=300 update && \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $(APT) || { \
  echo "furrow: apt-get could not install $(APT) (see above)." >&2; exit 1; }
endef

.venv/.done: requirements-dev.txt constraints.txt
	@test -x $(PY) || "$(PYTHON)" -m venv --system-site-packages .venv
	@$(PY) -m pip install -q --no-input --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	@touch $@

.venv/.worker: .venv/.done requirements-worker.txt requirements-worker-nodeps.txt
	@$(PY) -m pip install -q --no-input --disable-pip-version-check -c constraints.txt -r requirements-worker.txt
	@$(PY) -m pip install -q --no-input --disable-pip-version-check -c constraints.txt --no-deps -r requirements-worker-nodeps.txt
	@touch $@

link:
	@mkdir -p build/plugins build/profile; mkdir -p -m 700 "$$XDG_RUNTIME_DIR" 2>/dev/null || true; ln -sfn ../.. build/plugins/$(NAME)

demo: setup ## make a scene, generate samples with QGIS, print a table (DATA=folder CLASS_FIELD=name: your own data)
	@$(HEADLESS) $(PY) demo/run_demo.py build/demo $(if $(DATA),--data "$(DATA)") $(if $(CLASS_FIELD),--class-field "$(CLASS_FIELD)") </dev/null

test: setup .venv/.worker ## run all tests: plain Python, torch, QGIS without a window, QGIS under Xvfb
	@$(HEADLESS) $(PY) -m pytest $(PYTEST_ARGS) </dev/null

run: setup ## open QGIS with the plugin and the demo's results (without a display: a picture of it)
	@test -f build/demo/out/samples.gpkg || $(MAKE) --no-print-directory demo
	@$(HEADLESS) $(QGIS_PROCESS) plugins enable $(NAME) >/dev/null 2>&1 </dev/null || true  # fails when it is already
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
	  $(QGIS) --nologo --noversioncheck --code demo/open_project.py; \
	else \
	  FURROW_PICTURE="$(CURDIR)/build/screens/run.png" timeout 180 $(XVFB) $(QGIS) --nologo --noversioncheck --code demo/open_project.py </dev/null >build/run.log 2>&1 \
	    && echo "There is no display: QGIS ran under Xvfb, see build/screens/run.png" \
	    || { tail -5 build/run.log; echo "furrow: QGIS did not show the demo; the log is build/run.log" >&2; exit 1; }; \
	fi

# Lines with sha256 are left out: hashes of published files are no secrets.
lint: setup ## check style, QGIS rules and what plugins.qgis.org scans for
	@status=0; \
	$(PY) -m ruff check . || status=1; \
	$(PY) -m flake8 || status=1; \
	$(PY) -m bandit -q -r . -c pyproject.toml || status=1; \
	git ls-files -z -co --exclude-standard -- . ':!tests' ':!bench' ':!demo' ':!docs' | xargs -0 $(PY) -m detect_secrets.pre_commit_hook --exclude-lines 'sha256' || status=1; \
	exit $$status

bench: setup ## measure speed and quality (every bench/bench_*.py)
	@set -e; found=; for script in bench/bench_*.py; do \
	  test -f "$$script" || continue; found=1; echo "== $$script"; $(HEADLESS) $(PY) "$$script" </dev/null; done; \
	test -n "$$found" || echo "There is no bench/bench_*.py yet."

bench-segmenters: setup ## measure all segmentation engines on all labelled sets (ARGS="--engine ID --no-speed")
	@$(HEADLESS) $(PY) bench/bench_segmenters.py $(ARGS) </dev/null

bench-delineation: setup ## measure whole scenes against true fields and classical methods (ARGS="--set NAME --engine ID")
	@$(HEADLESS) $(PY) bench/bench_delineation.py $(ARGS) </dev/null

bench-planar: setup ## measure how 20,000 fields become planar polygons (ARGS="--side 5000 --fields 5000")
	@$(HEADLESS) $(PY) bench/bench_planar.py $(ARGS) </dev/null

bench-models: setup .venv/.worker ## measure what Furrow adds to Segment Anything models: overheads, batches, encodings, kills
	@$(HEADLESS) $(PY) bench/bench_models.py $(ARGS) </dev/null

bench-scene: setup ## measure a whole scene: time, memory, 1 against 2 processes (ARGS="--size 10980 --known")
	@$(HEADLESS) $(PY) bench/bench_scene.py $(ARGS) </dev/null

bench-shift: setup ## measure how much fields depend on where tiles begin (ARGS="--tile 256 --size 480")
	@$(HEADLESS) $(PY) bench/bench_shift.py $(ARGS) </dev/null

bench-refinement: setup ## measure what a second look at mixed fields brings (ARGS="--model furrow-field")
	@$(HEADLESS) $(PY) bench/bench_refinement.py $(ARGS) </dev/null

bench-field-classifier: setup ## measure the classifier of fields on real pictures (ARGS="--network resnet18 --epochs 40": a network too)
	@$(HEADLESS) $(PY) bench/bench_field_classifier.py $(ARGS) </dev/null

TRAINING := PYTHONPATH=build/plugins $(HEADLESS) $(PY) -m furrow.models.training
RUN      ?= build/field-model
START    ?= models/training/field_network.npz
TRAIN    ?= --steps 6000

train-field-model: setup .venv/.worker ## train the field model, or go on with it (TRAIN="--steps N --rate R"; START= from nothing)
	@$(TRAINING) scenes $(RUN)/scenes </dev/null
	@$(TRAINING) train $(RUN) --scenes $(RUN)/scenes $(if $(START),--start $(START)) $(TRAIN) </dev/null
	@$(TRAINING) export $(RUN) --output $(RUN)/weights </dev/null
	@$(TRAINING) scenes $(RUN)/fresh --seed 3000000 --count 400 --mottled 100 </dev/null
	@$(TRAINING) rank $(RUN)/weights --scenes $(RUN)/fresh </dev/null
	@$(TRAINING) calibrate $(RUN)/weights --scenes $(RUN)/fresh </dev/null
	@echo "The model is in $(RUN)/weights; copy its furrow-field-* files to models/weights when make bench-segmenters likes it."

test-models: setup .venv/.worker ## run the cases of the Segment Anything models on real files (MODELS=folder)
	@test -n "$(MODELS)" || { echo "Say where the files are: make test-models MODELS=folder" >&2; exit 1; }
	@FURROW_MODELS="$(abspath $(MODELS))" $(HEADLESS) $(PY) -m pytest -s --timeout=7200 tests/models/test_real_files.py $(PYTEST_ARGS) </dev/null

scene-sheet: setup .venv/.worker ## draw scenes that the field model is trained on beside their truth
	@$(TRAINING) sheet build/scenes.png </dev/null && echo "See build/scenes.png"

package: setup ## write build/furrow.zip from the last commit, ready for plugins.qgis.org
	@git diff --quiet HEAD -- || echo "Note: changes that are not committed are left out."
	@git archive --format=zip --prefix=$(NAME)/ -o build/$(NAME).zip HEAD
	@ls -lh build/$(NAME).zip | awk '{print "build/$(NAME).zip", $$5}'

DEST ?= $(HOME)/.local/share/QGIS/QGIS3/profiles/default/python/plugins
deploy: package ## install the packaged plugin into your QGIS profile (DEST=folder: another one)
	@mkdir -p "$(DEST)" && rm -rf "$(DEST)/$(NAME)" && $(PY) -m zipfile -e build/$(NAME).zip "$(DEST)"
	@echo "Installed into $(DEST)/$(NAME)"

translations: ## collect texts into i18n/furrow_XX.ts and compile it (LANGUAGE_CODE=xx)
	@test -n "$(LANGUAGE_CODE)" || { echo "Say which language: make translations LANGUAGE_CODE=de" >&2; exit 1; }
	@{ command -v pylupdate5 && command -v lrelease; } >/dev/null || { echo "furrow: missing: pylupdate5 and lrelease (Debian: pyqt5-dev-tools qttools5-dev-tools)" >&2; exit 1; }
	@pylupdate5 -noobsolete plugin.py $(wildcard algorithms/*.py qgis_io/*.py ui/*.py ui/*.ui ui/*/*.py ui/*/*.ui) -ts i18n/furrow_$(LANGUAGE_CODE).ts
	@lrelease i18n/furrow_$(LANGUAGE_CODE).ts

clean: ## delete build/ and caches (.venv stays)
	@rm -rf build .qgis-settings .pytest_cache .ruff_cache .hypothesis
	@find . -path ./.venv -prune -o -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
