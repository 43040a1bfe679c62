# `make` alone lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
BASE = $(VENV)/.installed
STAMP = $(VENV)/.installed-for-development
PINS = $(VENV)/pins.txt
# CHECKED=1 checks the sha256 of every package (CI does; Linux x86_64, Python 3.11).
CHECKED ?=
# Scores are made with one thread per process: the same bytes on every machine.
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export NUMBA_NUM_THREADS = 1

.PHONY: help demo test slow coverage lint faults fuzz mutants soak audit lock ablations train-mini readme rehearsal wheels docs release clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# pip refuses an editable checkout where constraints have hashes: it gets the versions alone.
$(PINS): requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n 's/^\([^# ]*==[^ ]*\).*/\1/p' $< > $@

$(BASE): pyproject.toml $(PINS)
	$(if $(CHECKED),$(BIN)/python -m pip install -q --no-deps --require-hashes -r requirements.lock)
	$(BIN)/python -m pip install -q -c $(PINS) torch
	$(BIN)/python -m pip install -q -c $(PINS) -e '.[spleeter]'
	@touch $@

$(STAMP): $(BASE)
	$(BIN)/python -m pip install -q -c $(PINS) -e '.[spleeter,test,dev,docs,parity,cluster,train,codecs,board,zimtohrli]'
	@touch $@

demo: $(BASE) ## run configs/demo.yaml on the embedded real clip and write runs/demo-report/
	$(BIN)/benchsep run demo -o runs/demo
	$(BIN)/benchsep report runs/demo -o runs/demo-report
	$(BIN)/benchsep show runs/demo --format md

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest

slow: $(STAMP) ## run the tests that `make test` leaves out: trainings of several processes, the minis' cards
	$(BIN)/python -m pytest --slow -m slow

GATED = benchsep/runner/store.py,benchsep/runner/done.py,benchsep/gate/*,benchsep/stats/*
coverage: $(STAMP) ## run the tests and print line and branch coverage; 95 % is demanded of store, done rules, gate, statistics
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered
	$(BIN)/python -m coverage report --skip-covered --fail-under=95 --include='$(GATED)'

faults: $(STAMP) ## the long fault campaign: kills, full disks, 10,000 damaged inputs; within half an hour of CPU time; writes reports/reliability.md
	BENCHSEP_FAULTS=long $(BIN)/python -m pytest -n 0 tests/faults tests/runner/test_large_run.py

FUZZ_SECONDS ?= 3600
fuzz: $(STAMP) ## fuzz the readers, guided by coverage where atheris can be installed; an hour in all (FUZZ_SECONDS=)
	$(BIN)/python -m pip install -q atheris==3.0.0 || echo "no atheris here: inputs are damaged by chance"
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# GROUPS="gate statistics store done"; DRAW=0 tries all mutants, which takes hours.
GROUPS ?=
DRAW ?= 150
mutants: $(STAMP) ## change one expression at a time and see whether a test fails; not in CI (GROUPS=, DRAW=)
	$(BIN)/python -m pip install -q mutmut==3.8.1
	$(BIN)/python -m tests.mutants $(GROUPS) --draw $(DRAW) --show

SOAK_SECONDS ?= 3600
soak: $(STAMP) ## disturb the same run at random again and again; its cells must stay; an hour (SOAK_SECONDS=)
	$(BIN)/python -m tests.faults.soak --seconds $(SOAK_SECONDS)

audit: $(STAMP) ## known vulnerabilities in the pinned versions (pip-audit; asks pypi.org)
	$(BIN)/python -m pip install -q pip-audit
	$(BIN)/pip-audit -r requirements.lock --no-deps --disable-pip

lock: $(BASE) ## write the hashes of requirements.lock after a change of a version (asks the index)
	$(BIN)/python .ci/lock.py

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Trained variants first; decoding and refine vary options of the shipped checkpoint.
ABLATIONS ?= encoder loss-weighting mixture-frame layout depth-head decoding one-pass refine draws

ablations: $(STAMP) ## train and run the ablations (MUSDB_7S=folder), write runs/ablations-report/ and reports/ablations/
	test -d "$(MUSDB_7S)" || { echo "set MUSDB_7S to the folder of MUSDB18's 7-second edition"; exit 2; }
	$(BIN)/benchsep ablate $(ABLATIONS:%=configs/ablations/%.yaml) --root "$(MUSDB_7S)" --work runs/ablations -o runs/ablations-report
	$(BIN)/python -m benchmarks.publish runs/ablations-report reports/ablations

# TRAIN_MINI="--tiny" rehearses it; "--without-lmms", "--music FOLDER", "--without-music", "--only STAGE", "--list".
train-mini: $(STAMP) ## train all shipped weights again, stage by stage; run again to continue (MUSDB_7S=folder, WORK=work)
	test -d "$(MUSDB_7S)" || { echo "set MUSDB_7S to the folder of MUSDB18's 7-second edition"; exit 2; }
	$(BIN)/python -m benchmarks.train_mini --musdb "$(MUSDB_7S)" --work "$(or $(WORK),work)" $(TRAIN_MINI)

# RECORDINGS holds train/ and valid/, two folders of music; without it, the embedded clip at eight speeds.
REHEARSAL ?= runs/rehearsal
rehearsal: $(STAMP) ## a large training of tokensep in small, minutes: labels, tokens, two processes, kill, resume, export, run
	test -n "$(RECORDINGS)" || $(BIN)/python -m benchmarks.rehearsal_recordings $(REHEARSAL)/recordings
	BIN=$(BIN)/ docs/rehearsal.sh $(or $(RECORDINGS),$(REHEARSAL)/recordings) $(REHEARSAL)

readme: demo ## publish the report of the demo in reports/demo/, docs/results.md and README.md
	$(BIN)/python -m benchmarks.publish runs/demo-report reports/demo --readme

wheels: $(STAMP) ## show that every dependency resolves to a wheel on Python 3.12, 3.13 and 3.14
	$(BIN)/python -m pip wheel -q --no-deps -w dist .
	for v in 3.12 3.13 3.14; do \
	  $(BIN)/python -m pip install -q --dry-run --ignore-installed --only-binary :all: \
	    --python-version $$v --implementation cp --platform manylinux_2_28_x86_64 \
	    --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 \
	    --target dist/none dist/benchsep-*.whl && echo "Python $$v: every dependency has a wheel"; \
	done

docs: $(STAMP) ## build the site of the documentation into runs/site; a dead link is an error
	$(BIN)/mkdocs build --quiet --strict

release: $(PINS) ## build wheel and sdist, check them, install each in an empty environment, run the demo from both
	$(BIN)/python -m pip install -q build twine
	$(BIN)/python .ci/release.py

clean: ## remove runs and the virtual environment
	rm -rf runs $(VENV)
