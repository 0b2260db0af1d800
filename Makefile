# `make help` lists what there is. `make test` is what CI runs.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

BIN := .tmp/bin
export PATH := $(abspath $(BIN)):$(abspath tools/node_modules/.bin):$(PATH)

# Everything but what runs under the race detector is compiled with the flags of deploy/Dockerfile, so that it is compiled once:
# for what is shipped, linted and tested.
export GOFLAGS := $(filter-out -trimpath,$(shell go env GOFLAGS)) -trimpath
export CGO_ENABLED := 0

# `make lint` has vetted the tests, and nobody takes their binaries to a debugger.
TESTFLAGS := -vet=off -ldflags=-s

# How long `make fuzz` gives each target.
FUZZTIME ?= 5s
export FUZZTIME

# How long `make chaos` breaks things, and what decides which.
CHAOSTIME ?= 60s
CHAOSSEED ?= 1

# How many members `make crowd` has.
CROWD ?= 60

# The tests that need more than Go. The other scenarios are part of `make test-go`.
FOREIGN := Client|Example|Pages|EventSource

# The Go that releases are built with. What it has mended is no finding where an older one is installed and GOTOOLCHAIN is local.
TOOLCHAIN := $(shell awk '$$1 == "toolchain" { print $$2 }' go.mod)

# What `make test` runs, in this order: first what tells most in the shortest time.
STAGES := deps lint vuln manifests check-generate test-go web web-test bench-once fuzz sdk e2e chaos-once

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: ## Build and run the server on 127.0.0.1:8080
	go run ./cmd/millrace serve --listen 127.0.0.1:8080

.PHONY: demo
demo: ## Show on 127.0.0.1:8080 what a client can do
	go run ./cmd/millrace demo

.PHONY: demo-site
demo-site: npm-web ## Build the demo's site, from web/packages/demo into demo/site
	npm run build --prefix web/packages/demo

.PHONY: build
build: ## Build the server into .tmp/bin/millrace
	go build -o $(BIN)/millrace ./cmd/millrace

.PHONY: generate
generate: npm ## Write gen/ and the client's types from proto/
	mkdir -p .tmp
	buf generate
	go run ./cmd/millrace config reference > .tmp/CONFIGURATION.md && mv .tmp/CONFIGURATION.md docs/
	buf generate --template buf.gen.web.yaml

.PHONY: check-generate
check-generate: generate ## Fail, with the names, when what is generated is not what is committed
	./tools/check-generate.sh

.PHONY: format
format: npm golangci-lint ## Format Go and proto files
	golangci-lint fmt
	buf format -w

.PHONY: lint
lint: npm golangci-lint ## Check formatting, Go, proto, and the API against the last release
	./tools/gofmt.sh
	golangci-lint run
	buf lint
	buf format -d --exit-code
	./tools/buf-breaking.sh

.PHONY: test
test: ## Everything: what CI runs, in a fresh clone as well
	@passed=0; for stage in $(STAGES); do \
		echo; echo "=== make $$stage"; start=$$SECONDS; \
		$(MAKE) $$stage || { echo; echo "=== make test FAILED in: make $$stage"; echo "stages: $$passed passed, 1 failed"; exit 1; }; \
		echo "=== make $$stage: ok, $$((SECONDS - start)) s"; passed=$$((passed + 1)); \
	done; \
	echo; echo "=== make test passed in $$SECONDS s"; echo "stages: $$passed passed, 0 failed"

.PHONY: test-go
test-go: ## Go tests under the race detector
	CGO_ENABLED=1 go test -race $(TESTFLAGS) -timeout 20m ./...

.PHONY: bench
bench: ## Compare with peers and floors on this machine, about 25 minutes, and write docs/BENCHMARKS.md
	cd bench && go run ./cmd/bench -json ../.tmp/bench.json -document ../docs/BENCHMARKS.md

.PHONY: bench-once
bench-once: ## Run each benchmark once, small (-short), so that none rots, and every server that we are compared with
	go test $(TESTFLAGS) -short -run '^$$' -bench . -benchtime 1x $$(git grep -l '^func Benchmark' -- '*_test.go' ':!bench' | xargs dirname | sort -u | sed 's,^,./,')
	cd bench && go vet ./... && go test $(TESTFLAGS) ./...

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (5s)
	./tools/fuzz.sh

.PHONY: sdk
sdk: deps ## Generate clients in other languages, and compile or load each
	./tools/sdk.sh

.PHONY: e2e
e2e: deps ## Run clients that are not ours against the server, a browser's included
	go test $(TESTFLAGS) -count=1 -tags e2e -run '$(FOREIGN)' ./e2e

.PHONY: web
web: npm-web ## Check, test and build the TypeScript packages in web/
	npm run check --prefix web

.PHONY: web-test
web-test: deps npm-web ## Run the TypeScript client in Chromium against the server
	npm run test:browser --prefix web

.PHONY: cluster
cluster: fleet ## Run three nodes on three NATS servers, with a proxy on 127.0.0.1:8080
	$(BIN)/chaos --for 0 --listen 127.0.0.1:8080

.PHONY: chaos
chaos: fleet ## Break a cluster for CHAOSTIME (60s), and check what clients see
	go run ./chaos/clock .tmp/clock "$$(go env GOROOT)"
	go build -overlay .tmp/clock/overlay.json -o $(BIN)/clocks/millrace ./cmd/millrace
	go build -overlay .tmp/clock/overlay.json -o $(BIN)/clocks/nats-server github.com/nats-io/nats-server/v2
	$(BIN)/chaos --for $(CHAOSTIME) --seed $(CHAOSSEED) --bin $(BIN)/clocks --clocks

.PHONY: crowd
crowd: fleet ## Kill, freeze and restart a node of a cluster that has CROWD (60) members
	$(BIN)/chaos --crowd $(CROWD)

.PHONY: chaos-once
chaos-once: fleet ## Break the processes of a cluster for 10 s
	$(BIN)/chaos --for 10s --seed $(CHAOSSEED) --channels 4 --processes

.PHONY: fleet
fleet: build
	go build -o $(BIN)/nats-server github.com/nats-io/nats-server/v2
	go build -o $(BIN)/chaos ./chaos

.PHONY: vuln
vuln: $(BIN)/govulncheck ## Fail when the code reaches a known vulnerability, or when the module proxy does not say which there are
	go -C tools test $(TESTFLAGS) ./vulndb
	go -C tools run ./vulndb $(abspath .tmp/vulndb)
	GOTOOLCHAIN=$(TOOLCHAIN) govulncheck -db file://$(abspath .tmp/vulndb) ./...

.PHONY: manifests
manifests: ## Check what deploy/ has for Kubernetes and Envoy by the libraries of those
	go -C tools/deploy test $(TESTFLAGS) -count=1 ./...

.PHONY: deps
deps: npm golangci-lint $(BIN)/grpcurl ## Install what the targets need; costs nothing when it is there
	./tools/apt-install.sh

.PHONY: clean
clean: ## Remove what make built and installed in the tree
	rm -rf .tmp sdk tools/node_modules web/node_modules web/packages/*/dist

.PHONY: npm npm-web golangci-lint
npm: tools/node_modules/.package-lock.json
npm-web: web/node_modules/.package-lock.json
golangci-lint: $(BIN)/golangci-lint

# No install script is needed: buf and esbuild bring their binaries in packages.
tools/node_modules/.package-lock.json: tools/package.json tools/package-lock.json
web/node_modules/.package-lock.json: web/package.json web/package-lock.json
tools/node_modules/.package-lock.json web/node_modules/.package-lock.json:
	npm ci --prefix $(firstword $(subst /, ,$@)) --ignore-scripts --no-audit --no-fund
	@touch $@

# tools/go.mod pins the versions; a newer one there rebuilds.
$(BIN)/golangci-lint: PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(BIN)/grpcurl: PACKAGE := github.com/fullstorydev/grpcurl/cmd/grpcurl
$(BIN)/govulncheck: PACKAGE := golang.org/x/vuln/cmd/govulncheck
$(BIN)/golangci-lint $(BIN)/grpcurl $(BIN)/govulncheck: tools/go.mod tools/go.sum
	go -C tools build -ldflags=-s -o $(abspath $@) $(PACKAGE)
	@touch $@
