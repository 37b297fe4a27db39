# The commands that people and CI run; each makes .venv when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL ?= src/sat2map/weights/maps.safetensors
DATA ?= data
PIP_ARGS ?=

# An orthophoto of yours for figures and scores, the mask of its buildings, and the column of places in DATA's CSV.
RASTER ?= ortho.tif
BUILDINGS ?= buildings.tif
GROUPS ?= group

.NOTPARALLEL:
.PHONY: demo test coverage check check-pages format docs site web screenshots figures bench bench-docs bench-peers bench-avx2 bench-gpu check-plan kills soak sbom clean check-qgis figures-rasters scores release-docs

demo: $(VENV)/.installed
	$(BIN)/sat2map demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The share of branches that the tests take, in percent; a test that fails is printed before.
coverage: $(VENV)/.installed-dev
	@folder=$$(mktemp -d); COVERAGE_FILE=$$folder/data; export COVERAGE_FILE; \
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --cov --cov-report= $(TESTS) >$$folder/log 2>&1 || tail -20 $$folder/log; \
	printf 'branch coverage: '; $(BIN)/python -m coverage report --format=total --precision=1; rm -r $$folder

check: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory check-pages
	$(BIN)/python docs/make_settings.py --check
	$(BIN)/python docs/make_results.py --check
	$(BIN)/python docs/make_scale.py --check
	$(BIN)/python -m benchmarks.docs --check

# Outputs open in QGIS with their colours and names. It needs Debian's qgis and python3-qgis, and CI does not run it.
check-qgis: $(VENV)/.installed-dev
	$(BIN)/python -m tools.qgis.check --picture build/qgis.png

# The pages' scripts and styles, linted and formatted by Biome.
check-pages:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules && npx biome ci; \
	else echo "npm is not installed: the pages were not checked"; fi

format: $(VENV)/.installed-dev node_modules
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	npx biome check --write

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/make_settings.py
	$(BIN)/python docs/make_results.py
	$(BIN)/python docs/make_scale.py
	$(BIN)/python -m benchmarks.docs

# ONNX Runtime for browsers, of a pinned version, for `sat2map export --to web` (npm).
web: $(VENV)/.installed
	$(BIN)/python -m sat2map.export.web_runtime

# The docs as a site, with the page that draws in the browser: `python -m http.server --directory site`.
site: $(VENV)/.installed-dev web
	$(BIN)/sat2map export --to web --overwrite --output build/page
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Everything that follows from the bundled weights: scores, tables, and all figures. Then look at the figures.
release-docs: scores docs figures figures-rasters screenshots

scores: $(VENV)/.installed-dev
	$(BIN)/python tools/score_release.py --data $(DATA) --group-column $(GROUPS) --raster $(RASTER) --buildings $(BUILDINGS)

# A part of RASTER: what the README and the analyst's page open with.
figures: $(VENV)/.installed-dev
	$(BIN)/python docs/figures/make_hero.py $(RASTER) --window 200 200 600

# Every view of the page into build/screenshots, and the docs' figures of it.
screenshots: $(VENV)/.installed-dev
	PYTHONPATH=.:$(PYTHONPATH) $(BIN)/python docs/figures/make_screenshots.py

# The figures of docs/rasters.md and docs/analyst.md: a drawn town, the live map, QGIS (as for check-qgis, with xvfb).
figures-rasters: $(VENV)/.installed-dev
	PYTHONPATH=.:$(PYTHONPATH) $(BIN)/python docs/figures/make_rasters.py

# Where benchmarks write their figures: with RUNS=docs those of the docs, whose tables `make docs` then writes again.
RUNS ?= runs

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks --json $(RUNS)/bench.json --markdown

# The same, into docs/bench.json and the tables of docs/performance.md.
bench-docs: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks --docs --markdown
	$(BIN)/python docs/make_results.py

# Against what people use instead, each in an environment of its own under .peers.
bench-peers: $(VENV)/.installed-dev
	PIP_ARGS="$(PIP_ARGS)" $(BIN)/python -m benchmarks.peers --environments .peers --json $(RUNS)/bench-peers.json

# The same as on a processor with AVX2 alone, simulated: what it hides and what it cannot is in the script.
bench-avx2: $(VENV)/.installed-dev
	benchmarks/avx2.sh $(BIN)/python -m benchmarks --json $(RUNS)/bench-avx2.json --markdown

# 200 epochs of the paper's training on the pairs in DATA, on a GPU, and what comes of it.
bench-gpu: $(VENV)/.installed
	$(BIN)/python -m benchmarks.gpu --data $(DATA)

# A service beside hostile clients and under load: each figure with "met" or "short". MINUTES=30 is the full form.
MINUTES ?= 30
soak: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.load --model $(MODEL) --clients 8 --seconds 5 --rounds 3 --json $(RUNS)/load.json
	$(BIN)/python -m benchmarks.soak --model $(MODEL) --minutes $(MINUTES) --json $(RUNS)/soak.json

# Whether the plan of a job is true: its times against real runs, in a quiet hour.
check-plan: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.plan --json $(RUNS)/plan.json

# Kills jobs, trainings, bulk jobs and raster translations at random moments, and compares what comes of them.
kills: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.kills --kills 50 --json $(RUNS)/kills.json

# pip 25.1 is the first with --group.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "Installing sat2map, PyTorch, GDAL and the service into $(VENV): 0.5 GB to download with a CPU build of PyTorch, several GB with CUDA."
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --editable '.[train,encoder,serve]' $(PIP_ARGS)
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	touch $@

# Tools of the pages' checks: Biome, axe.
node_modules: package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

# What is installed, as a CycloneDX document, and its known vulnerabilities, for which PyPI must be reached.
sbom: $(VENV)/.installed-dev
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet 'cyclonedx-bom>=5' 'pip-audit>=2.7'
	$(VENV)-audit/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-file sbom.json
	$(VENV)-audit/bin/pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:
	rm -rf $(VENV) build dist
