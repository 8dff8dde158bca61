# Every target sets up .venv by itself the first time. Without make: python3 -m helpers run | test | lab
PYTHON ?= python3
.PHONY: tutorial test lab clean

tutorial: ## run every notebook and print what was found
	@$(PYTHON) -m helpers run

test: ## lint and the whole suite, notebooks executed from an empty cache
	@$(PYTHON) -m helpers test

lab: ## open JupyterLab
	@$(PYTHON) -m helpers lab

clean: ## remove everything generated except the environment
	rm -rf build .pytest_cache .ruff_cache .hypothesis
