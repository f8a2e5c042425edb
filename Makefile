# What a newcomer types. Every target makes .venv and installs into it first; PYTHON=python3.12 chooses the interpreter.
# ARGS goes to pytest: make test-fast ARGS="-k codec -x"
.DEFAULT_GOAL := help
.PHONY: help install demo models readme test test-fast gpu-check soak coverage test-oldest check format clean

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
export PYTHON
# What was compiled once is kept: without it each of the tests' processes compiles anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

install: ## .venv with the project and its tests in it (instant when nothing has changed)
	@sh scripts/install.sh

demo: install ## speech -> shards -> training -> clips you can listen to; a few minutes on two CPU cores
	@sh scripts/demo.sh

models: install ## train the models that come with the project again, for hours: make models CORPORA=DIR ARGS=vocoder
	@$(BIN)/python -m scripts.make_models --corpora "$(or $(CORPORA),$(error name the folder of the corpora: make models CORPORA=DIR))" $(ARGS)

test: install ## every test but the long repetitions and those that need a GPU
	$(PYTEST) -m "not gpu and not soak" $(ARGS)

readme: install ## do what README says, command by command, in a small size; README_SETTINGS= for its own sizes
	$(BIN)/python -m scripts.follow_readme

gpu-check: install ## everything to be seen on a GPU, in eight minutes; tiny on the CPU where there is none
	$(BIN)/python -m benchmarks.gpu $(ARGS)

soak: install ## what the slow tests show once, over and over; twenty minutes
	$(PYTEST) -m "soak" $(ARGS)

test-fast: install ## the tests that take less than a second each
	$(PYTEST) $(ARGS)

coverage: install ## which lines the fast tests run; what they start in processes of its own does not count
	$(PYTEST) --cov=wavenet_pl --cov=data_prep --cov-report=term $(ARGS)

test-oldest: ## the fast tests with the oldest releases that pyproject.toml allows, in .venv-oldest; downloads them
	@sh scripts/oldest.sh $(ARGS)

check: install ## format, lint, types and house rules; changes nothing
	@failed=0; for step in "ruff format --check ." "ruff check ." "mypy" \
	    "python -m pytest -q tests/test_house.py tests/test_floors.py"; do \
	    echo "$$step"; $(BIN)/$$step || failed=1; done; exit $$failed

format: install ## mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove .venv, .venv-oldest and caches; data/, runs/ and clips/ stay
	rm -rf .venv .venv-oldest .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist
