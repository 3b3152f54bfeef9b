# Tussis. `make help` lists the targets. Every recipe calls a command that can be called by hand as well.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash

# ---- Settings, all of which can be given on the command line ---------------------------------------------------
RECORDING ?=
DATA ?= ../shared/data
RUN ?= runs/pipeline
YAMNET ?= ../shared/models/yamnet.tflite
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell command -v $(p) >/dev/null 2>&1 && \
    $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))

# ---- Environments ----------------------------------------------------------------------------------------------
# .venv is what a phone has (numpy and one TFLite runtime); .venv-dev is the workstation (torch, converters, tests).
# A stamp carries a key of the requirements and of the folder, so that nothing is installed twice and a change or a
# moved checkout installs anew.
PHONE := .venv
DEV := .venv-dev
PHONE_TESTS := .venv-phone-tests
KEY := $(shell { cat pyproject.toml constraints.txt; pwd; } | cksum | cut -d ' ' -f 1)
PHONE_READY := $(PHONE)/ready-phone-$(KEY)
APP_READY := $(PHONE)/ready-app-$(KEY)
DEV_READY := $(DEV)/ready-dev-$(KEY)
PHONE_TESTS_READY := $(PHONE_TESTS)/ready-phone-tests-$(KEY)
ANDROID := .venv-android
ANDROID_READY := $(ANDROID)/ready-android-$(KEY)
CLUSTER_READY := $(DEV)/ready-cluster-$(KEY)
NEED_PYTHON = test -n "$(PYTHON)" || { echo "Tussis needs Python 3.11 or newer; name one with PYTHON=…" >&2; exit 2; }

define new_environment
@$(NEED_PYTHON)
@test -x $(1)/bin/python || $(PYTHON) -m venv $(1) || { rm -rf $(1); echo "python -m venv failed; on Debian: apt install python3-venv" >&2; exit 2; }
@rm -f $(1)/$(2)-*
endef
INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: help
help: ## list the targets
	@echo "Usage: make TARGET [NAME=value]"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(PHONE_READY):
	$(call new_environment,$(PHONE),ready-phone)
	@echo "Setting up $(PHONE) (once): numpy, ai-edge-litert and cryptography"
	@$(PHONE)/bin/python $(INSTALL) .
	@touch $@

$(APP_READY): $(PHONE_READY)
	@echo "Adding Kivy and sounddevice to $(PHONE) (once)"
	@$(PHONE)/bin/python $(INSTALL) '.[app]'
	@rm -f $(PHONE)/ready-app-*
	@touch $@

$(DEV_READY):
	$(call new_environment,$(DEV),ready-dev)
	@echo "Setting up $(DEV) (once, a few minutes): torch, the converters, the tests"
	@$(DEV)/bin/python $(INSTALL) '.[dev]'
	@touch $@

$(PHONE_TESTS_READY):
	$(call new_environment,$(PHONE_TESTS),ready-phone-tests)
	@echo "Setting up $(PHONE_TESTS) (once): what a phone has, and pytest"
	@$(PHONE_TESTS)/bin/python $(INSTALL) '.[app,test-phone]'
	@touch $@

$(CLUSTER_READY): $(DEV_READY)
	@echo "Adding Ray to $(DEV) (once, half a gigabyte)"
	@$(DEV)/bin/python $(INSTALL) '.[cluster]'
	@rm -f $(DEV)/ready-cluster-*
	@touch $@

$(ANDROID_READY): app/android/requirements.txt
	$(call new_environment,$(ANDROID),ready-android)
	@echo "Setting up $(ANDROID) (once): buildozer and python-for-android"
	@$(ANDROID)/bin/python -m pip install --quiet --disable-pip-version-check --requirement app/android/requirements.txt
	@touch $@

# ---- For the user ----------------------------------------------------------------------------------------------
DEMONSTRATION := runs/demonstration.wav
screen: export TUSSIS_RECORDING := $(value RECORDING)

.PHONY: screen app
screen: $(PHONE_READY) ## screen RECORDING=my.wav; without it, a synthesized demonstration
	@if [ -n "$$TUSSIS_RECORDING" ]; then \
	    $(PHONE)/bin/tussis-screen -- "$$TUSSIS_RECORDING"; \
	else \
	    mkdir -p $(dir $(DEMONSTRATION)) && $(PHONE)/bin/python -m core.demonstration $(DEMONSTRATION) && \
	    echo "No RECORDING given: $(DEMONSTRATION) is SYNTHETIC, made by this program. Nobody coughed." && \
	    $(PHONE)/bin/tussis-screen $(DEMONSTRATION); \
	fi

app: $(APP_READY) ## open the field app: participants, consent, guided recordings, hand-over
	@$(PHONE)/bin/tussis-app

# ---- For the developer -----------------------------------------------------------------------------------------
# As many tests at a time as there are cores, each on one thread; a file's tests share what they make and stay together.
PARALLEL := -n auto --dist loadfile
test test-long test-all test-phone android-check: export OMP_NUM_THREADS := 1
test test-long test-all test-phone android-check: export OPENBLAS_NUM_THREADS := 1
RUFF_ON := core distill quantize app benchmarks tests

.PHONY: dev dev-cluster debian-packages test test-long test-all field-files app-benchmark kill-test lint format
dev: $(DEV_READY) ## set up .venv-dev with every extra

dev-cluster: $(CLUSTER_READY)

debian-packages:
	@.ci/debian_packages

test: debian-packages lint ## set up everything, check style and imports, run the fast tests (what CI runs first)
	@$(DEV)/bin/python -m pytest -rs $(PARALLEL)

test-long: debian-packages $(DEV_READY) ## the tests that take more than some two seconds each
	@$(DEV)/bin/python -m pytest -rs $(PARALLEL) -m "long and not slow"

test-all: debian-packages lint $(CLUSTER_READY) ## the fast, the long and the slow tests; the slow ones need the network
	@$(DEV)/bin/python -m pytest -rs $(PARALLEL) -m "not slow"
	@$(DEV)/bin/python -m pytest -rs -m slow

test-phone: $(PHONE_TESTS_READY) ## core and app with a phone's packages alone, no torch; app under -OO, as in the APK
	@! $(PHONE_TESTS)/bin/python -c 'import torch' 2>/dev/null || { echo "$(PHONE_TESTS) has torch: remove it" >&2; exit 2; }
	@$(PHONE_TESTS)/bin/python -m pytest -rs $(PARALLEL) -m "not slow" tests/core
	@KIVY_NO_CONSOLELOG=1 $(PHONE_TESTS)/bin/python -OO -m pytest -rs $(PARALLEL) -m "not slow" tests/app

field-files: debian-packages $(DEV_READY) ## files that recorders, phones and people make, as a table: expected, got
	@$(DEV)/bin/python -m tests.field_files

KILLS ?= 200
app-benchmark: $(DEV_READY) ## first frame, record screen, stop to result, frames and memory of the field app (4 minutes)
	@$(PYSTEP) tests.app_benchmark

kill-test: $(DEV_READY) ## kill the app's store KILLS=200 times at random moments, and check that nothing is lost (minutes)
	@$(DEV)/bin/python -m tests.kill_test --kills $(KILLS)

lint: $(DEV_READY) ## ruff and the import contracts, changing nothing
	@$(DEV)/bin/ruff check $(RUFF_ON)
	@$(DEV)/bin/ruff format --check $(RUFF_ON)
	@$(DEV)/bin/lint-imports --no-cache --no-logo

format: $(DEV_READY)
	@$(DEV)/bin/ruff check --fix $(RUFF_ON)
	@$(DEV)/bin/ruff format $(RUFF_ON)

# ---- The chain: recordings to a bundle -------------------------------------------------------------------------
# Each stage is a file, so an interrupted run goes on where it stopped (training from its last checkpoint).
# Settings: distill/configs/, quantize/recipes/. Changed code does not make a stage again: remove its file, or RUN.
#   make pipeline        about 15 minutes on 2 cores: shows that every stage works; its model is not good
#   make bundle-default  a night: the settings that the bundle in core/bundles/default was made with
PRETRAIN_CONFIG ?= distill/configs/pretrain_pipeline.toml
DISTIL_CONFIG ?= distill/configs/distil_pipeline.toml
MANIFEST_OPTIONS ?= --no-unlabelled
RECIPE ?= quantize/recipes/small_int8.json
MN04 ?= ../shared/models/mn04_as.onnx
N_MIXTURES ?=
HOURS ?= 1
STEP := $(DEV)/bin/
PYSTEP := $(DEV)/bin/python -m
MANIFEST := $(RUN)/manifest.csv
STORE := $(RUN)/store/manifest.csv
TEACHER := $(RUN)/pretrain/final.pt
EVENT_TARGETS := $(RUN)/targets/events.npz
EMBEDDING_TARGETS := $(RUN)/targets/embeddings.npz
MN04_TARGETS := $(RUN)/targets/events_mn04.npz
MIXTURES_READY := $(RUN)/mixtures/ready
LEARNT_FROM := $(if $(N_MIXTURES),$(MIXTURES_READY),$(EVENT_TARGETS) $(EMBEDDING_TARGETS))
DISTILLED := $(RUN)/distil/final.pt
TUNED := $(RUN)/tuned/final.pt
STUDENT := $(if $(N_MIXTURES),$(TUNED),$(DISTILLED))
FLOAT_MODEL := $(RUN)/export/student_float.tflite
INT8_MODEL := $(RUN)/quantize/student_int8.tflite
PROBES := $(RUN)/probes/spirometry.json
THRESHOLDS := $(RUN)/quantize/thresholds.json
DRAFT_READY := $(RUN)/draft/bundle.json
EVALUATION := $(RUN)/evaluation.json
BUNDLE := $(RUN)/bundle
BUNDLE_READY := $(BUNDLE)/bundle.json

.PHONY: pipeline bundle-default evaluate benchmark
pipeline: $(DEV_READY) $(RUN)/screening.json ## DATA=../shared/data: recordings to a checked bundle, small
	@echo "Bundle: $(BUNDLE)   Try it: $(STEP)tussis-screen my.wav --bundle $(BUNDLE)"

bundle-default: ## the same with the settings of the shipped bundle (a night), into runs/default
	@$(MAKE) pipeline RUN=runs/default DISTIL_CONFIG=distill/configs/second_small.toml MANIFEST_OPTIONS=--unlabelled \
	    N_MIXTURES=98304 HOURS=12
	@echo "To ship it: copy runs/default/bundle over core/bundles/default and commit it with its evaluation."

$(MANIFEST): | $(DEV_READY)
	@$(STEP)tussis-corpus manifest $(MANIFEST_OPTIONS) --data "$(DATA)" --out $@

$(STORE): $(MANIFEST)
	@$(STEP)tussis-corpus store --manifest $< --data "$(DATA)" --out $(@D)

$(TEACHER): $(STORE)
	@$(STEP)tussis-pretrain --store $(<D) --config $(PRETRAIN_CONFIG) --out $(@D)

$(EVENT_TARGETS): $(STORE)
	@$(STEP)tussis-targets events --store $(<D) --yamnet "$(YAMNET)" --out $(@D)

$(EMBEDDING_TARGETS): $(TEACHER) $(STORE)
	@$(STEP)tussis-targets embeddings --store $(RUN)/store --teacher "mae:$(TEACHER)+tflite-inner:$(YAMNET)" --out $(@D)

$(MN04_TARGETS): $(STORE)
	@$(STEP)tussis-targets events --store $(<D) --mn04 "$(MN04)" --out $(@D)

$(MIXTURES_READY): $(EVENT_TARGETS) $(MN04_TARGETS) $(STORE)
	@$(STEP)tussis-targets mixtures --store $(RUN)/store --targets $(RUN)/targets --config $(DISTIL_CONFIG) \
	    --yamnet "$(YAMNET)" --mn04 "$(MN04)" --n-clips $(N_MIXTURES) --out $(@D)
	@touch $@

$(DISTILLED): $(LEARNT_FROM) $(STORE)
	@$(STEP)tussis-distill --store $(RUN)/store --targets $(<D) --config $(DISTIL_CONFIG) --out $(@D)

$(TUNED): $(DISTILLED) $(EVENT_TARGETS) $(MN04_TARGETS) $(STORE)
	@$(STEP)tussis-distill --event-layer $< --store $(RUN)/store --targets $(RUN)/targets --config $(DISTIL_CONFIG) \
	    --out $(@D)

$(FLOAT_MODEL): $(STUDENT)
	@$(STEP)tussis-export $< --out $(@D)

$(INT8_MODEL): $(FLOAT_MODEL)
	@$(STEP)tussis-quantize $< --checkpoint $(STUDENT) --recipe $(RECIPE) --data "$(DATA)" --store $(RUN)/store --out $@

$(PROBES): $(INT8_MODEL)
	@$(STEP)tussis-probe demonstration --model $< --out $(@D)

$(THRESHOLDS): $(INT8_MODEL)
	@$(STEP)tussis-thresholds --model $< --store $(RUN)/store --hours $(HOURS) --out $@

# Twice: the model card holds the evaluation, and only a bundle can be evaluated.
BUILD_BUNDLE = $(STEP)tussis-bundle build --float $(FLOAT_MODEL) --int8 $(INT8_MODEL) --checkpoint $(STUDENT) \
    --probes $(RUN)/probes --agreement $(dir $(INT8_MODEL))agreement.json --export $(dir $(FLOAT_MODEL))export.json \
    --thresholds $(THRESHOLDS)

$(DRAFT_READY): $(INT8_MODEL) $(PROBES) $(THRESHOLDS)
	@$(BUILD_BUNDLE) --out $(@D)

$(EVALUATION): $(DRAFT_READY)
	@$(STEP)tussis-evaluate --bundle $(<D) --float $(FLOAT_MODEL) --data "$(DATA)" --pack esc50_part --json $@

$(BUNDLE_READY): $(DRAFT_READY) $(EVALUATION)
	@$(BUILD_BUNDLE) --evaluation $(EVALUATION) --out $(@D)
	@$(STEP)tussis-bundle verify $(@D)

$(RUN)/demonstration.wav: | $(DEV_READY)
	@mkdir -p $(@D)
	@$(PYSTEP) core.demonstration $@

$(RUN)/screening.json: $(BUNDLE_READY) $(RUN)/demonstration.wav
	@$(STEP)tussis-screen $(RUN)/demonstration.wav --bundle $(BUNDLE) --json $@

.PHONY: pictures
pictures: $(DEV_READY) ## a picture of every page of the app at 360 x 640, into runs/pictures; WORDS=sw for another language
	@$(PYSTEP) tests.app.pictures runs/pictures $(or $(WORDS),en)

evaluate: $(DEV_READY) ## DATA=../shared/data: the shipped bundle and its float model on the test pack, through the screener
	@mkdir -p runs
	@$(STEP)tussis-export distill/students/small.pt --out runs/shipped
	@$(STEP)tussis-evaluate --data "$(DATA)" --pack esc50_part --float runs/shipped/student_float.tflite --json runs/evaluation.json

REPORTS ?= docs/reports

.PHONY: report
report: $(DEV_READY) ## DATA=../shared/data: the shipped bundle judged on every held-out recording, into docs/reports (minutes)
	@$(STEP)tussis-evaluate report --data "$(DATA)" $(STORE_OPTION) --by pack --out "$(REPORTS)"

benchmark: $(DEV_READY) ## YAMNET=yamnet.tflite: latency of the shipped bundle beside YAMNet, interleaved
	@mkdir -p runs
	@$(STEP)tussis-benchmark latency --yamnet "$(YAMNET)" --json runs/latency.json

# Everything that is known of the shipped bundle's cost on this machine, as one report. MODELS: further .tflite files.
REPORT ?= runs/benchmark
FLOAT_STUDENT ?= runs/shipped/student_float.tflite
MODELS ?= $(wildcard $(FLOAT_STUDENT))

.PHONY: benchmark-report
benchmark-report: $(DEV_READY) ## every benchmark of the shipped bundle, as tables and one page in REPORT (half an hour)
	@$(STEP)tussis-benchmark all --out $(REPORT) $(addprefix --model ,$(MODELS)) --yamnet "$(YAMNET)" --data "$(DATA)" $(STORE_OPTION)

.PHONY: arm64-check
arm64-check: $(DEV_READY) ## the shipped model on an emulated Cortex-A76 and A53 (fetches 75 MB; skipped where that fails)
	@mkdir -p $(REPORT)
	@$(STEP)tussis-benchmark arm64 --float "$(FLOAT_STUDENT)" --yamnet "$(YAMNET)" --json $(REPORT)/arm64.json

# ---- One GPU machine -------------------------------------------------------------------------------------------
# Packed here, run there with nothing but torch and numpy installed, joined here (docs/pipeline.md).
PACK ?= cache/gpu_pack
OUT ?= runs/gpu_results
MINUTES ?= large=8,base=4,small=6
GPU_RUN ?= runs/gpu
GPU_PYTHON ?= 3.12
GPU_OPTIONS ?=
STORE_OPTION = $(if $(wildcard cache/store/manifest.csv),--store cache/store)

.PHONY: gpu-pack gpu-pretrain gpu-join
gpu-pack: $(DEV_READY) ## DATA=../shared/data: recordings and libraries for a GPU machine without a network, into PACK
	@$(PYSTEP) distill.offline_gpu.pack --data "$(DATA)" --out "$(PACK)" --python $(GPU_PYTHON)

gpu-pretrain: ## on the GPU machine: PACK=cache/gpu_pack OUT=folder MINUTES=large=8,small=6; called again, it goes on
	@python3 -m distill.offline_gpu.machine --pack "$(PACK)" --run "$(GPU_RUN)" --out "$(OUT)" --minutes "$(MINUTES)" $(GPU_OPTIONS)

gpu-join: $(DEV_READY) ## OUT=folder that came back: check it, make teachers, targets and curves of it, in GPU_RUN
	@$(PYSTEP) distill.offline_gpu.results join "$(OUT)" --out "$(GPU_RUN)" $(STORE_OPTION)

# ---- Android ---------------------------------------------------------------------------------------------------
ANDROID_TREE := build/android/tree
APK_MODE ?= debug

.PHONY: android-tree android-check apk
android-tree: ## what goes into the Android package, in build/android/tree
	@$(NEED_PYTHON)
	@$(PYTHON) app/android/stage_tree.py $(ANDROID_TREE)

android-check: debian-packages $(DEV_READY) $(ANDROID_READY) test-phone ## test-phone, the Android package up to Gradle, and its Java
	@$(DEV)/bin/python -m pytest -rs -m "not slow" tests/android tests/app/devices/android

apk: $(ANDROID_READY) android-tree ## where an Android SDK is: build/android/bin/*.apk; APK_MODE=release for the AAB
	@cd app/android && PATH="$(abspath $(ANDROID))/bin:$$PATH" buildozer android $(APK_MODE)

# ---- Housekeeping ----------------------------------------------------------------------------------------------
.PHONY: clean clean-runs
clean: ## remove the environments and caches; runs/ stays
	rm -rf $(PHONE) $(PHONE_TESTS) $(DEV) $(ANDROID) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find core distill quantize app benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-runs:
	rm -rf runs
