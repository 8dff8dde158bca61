# Every target sets up .venv by itself the first time. Without make: python3 -m helpers run | test | quick | format | lab
PYTHON ?= python3
.PHONY: tutorial seeds real site help quick test test-all test-unsloth test-laptop test-workshop test-site format lab clean

tutorial: ## run every notebook and print what was found
	@$(PYTHON) -m helpers run

seeds: ## the notebooks with several arms, three seeds an arm (about an hour, resumable)
	@$(PYTHON) -m helpers run --seeds 3 02 06 08 09 10

real: ## notebook 13 on real weights (100 minutes, resumable; installs the extra `real`)
	@TRIAGE_PROFILE=pocket $(PYTHON) -m helpers run --seeds 3 13

site: ## the notebooks as a static site in build/site (installs Sphinx into build/site-venv)
	@$(PYTHON) -m helpers site

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quick: ## lint, types and the fast tests, in less than three minutes
	@$(PYTHON) -m helpers quick

test: ## lint, types and the whole suite, notebooks executed from an empty cache
	@$(PYTHON) -m helpers test

test-unsloth: ## Unsloth, installed beside the rest and driven on the CPU (the first time: 20 minutes more)
	@tests/unsloth_env.sh
	@CUDA_VISIBLE_DEVICES= $${TRIAGE_BUILD:-build}/unsloth-venv/bin/python -m pytest -rs \
		tests/train/test_unsloth_drive.py tests/train/test_keywords.py tests/train/test_bench.py

test-laptop: ## a model of the profile laptop's shapes, with random weights, through every stage (minutes)
	@PYTHONPATH=. $${VIRTUAL_ENV:-.venv}/bin/python tests/drive_laptop.py

test-workshop: ## the zip for a class, installed and run without network (fetches some GB, half an hour)
	@PYTHON="$(PYTHON)" tests/workshop/offline.sh

test-site: ## build the site and look at every page of it in a browser (minutes)
	@$(PYTHON) -m helpers test tests/site -m site

test-all: test test-site test-laptop test-unsloth test-workshop ## the suite, and all that CI has no time for

format: ## sort imports and format code, notebooks included
	@$(PYTHON) -m helpers format

lab: ## open JupyterLab
	@$(PYTHON) -m helpers lab

clean: ## remove everything generated except the environment
	rm -rf build .pytest_cache .ruff_cache .hypothesis
