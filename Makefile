# The project's commands. Everything here works from a fresh clone: `deps-npm` brings Node and the tools from npm.
SHELL := /bin/sh
MACHINE := $(shell uname -m | sed 's/x86_64/x64/;s/aarch64/arm64/')
NODE := node_modules/node-linux-$(MACHINE)/bin/node
export PATH := $(CURDIR)/node_modules/node-linux-$(MACHINE)/bin:$(CURDIR)/node_modules/@biomejs/cli-linux-$(MACHINE):$(CURDIR)/node_modules/.bin:$(PATH)

# Scripts that start a Kubernetes cluster on this machine; empty where there are none.
export OUTRIGGER_CLUSTER ?= $(abspath $(wildcard ../shared/cluster))

.DEFAULT_GOAL := help
.PHONY: help run test check build image e2e deps bench interop format proto unit integration clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

run: build ## run the two-app demo: an order app and an inventory app with a sidecar each
	@# On a terminal sh -m gives the run a foreground group of its own: Ctrl-C then reaches it and not make, which would exit with 130.
	@if [ -t 0 ]; then sh -m -c 'bin/outrigger run -f examples/dapr.yaml; exit $$?'; else exec bin/outrigger run -f examples/dapr.yaml; fi

test: deps check build integration ## everything CI runs

check: $(NODE) ## the fast gate: format, lint, layers, tidy, generated code, types, unit tests
	@NO_COLOR=1 biome ci --reporter=summary --diagnostic-level=warn .
	@node tools/check-layers.ts
	@node tools/check-tidy.ts
	@node tools/gen-proto.ts --check
	@node tools/gen-crds.ts --check
	@tsc -p .
	@$(MAKE) --no-print-directory unit

unit: $(NODE)
	@node --test --test-reporter=dot 'lib/**/*.test.ts' 'components/**/*.test.ts' 'sidecar/**/*.test.ts' 'sentry/**/*.test.ts' 'operator/**/*.test.ts' 'injector/**/*.test.ts' 'images/**/*.test.ts' 'cli/**/*.test.ts' 'bench/**/*.test.ts' 'tools/**/*.test.ts'

integration: build
	@sh test/with-control-plane.sh node --test --test-concurrency=2 --test-timeout=120000 'test/**/*.test.ts'

interop: build ## let Go's x509 and TLS judge our certificates and handshakes (says NOT RUN where go is missing)
	@node --test --test-timeout=120000 tools/interop/interop.ts

build: $(NODE) ## bundle every service into dist/
	@node tools/build.ts

deps: $(NODE) ## install what tests and bench need (Debian packages by tools/debian-packages.txt; needs root, or names what is missing)
	@sh tools/install-debian-packages.sh

bench: build deps ## the performance table (BENCH_AGAINST=path compares another daprd, BENCH_QUICK=1 is one short run)
	@node bench/main.ts

format: $(NODE) ## format and fix what can be fixed
	@biome check --write .

proto: $(NODE) ## regenerate lib/proto/gen
	@node tools/gen-proto.ts

e2e: build ## the suites on a real cluster: that of KUBECONFIG, or one that the scripts of OUTRIGGER_CLUSTER start
	@node --test --test-timeout=600000 'e2e/**/*.test.ts'

image: build ## write the image as an archive, build/outrigger-image.tar (no Docker needed)
	@node tools/build-image.ts

clean: ## remove what was built
	@rm -rf dist build

# npm may be the host's; Node itself comes as a package, so an older host Node is enough to start.
$(NODE): package.json package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $(NODE)
