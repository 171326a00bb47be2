# Conclave. `make run` builds everything and serves on http://localhost:8080;
# `make test` installs what the tests need and runs them all. Needs Go, Node, npm, make.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PORT     ?= 8080        # of `make run`
FUZZTIME ?= 30s         # of each target of `make fuzz`
IMAGE    ?= conclave:latest
VERSION  ?=             # of a release; otherwise the commit that Go records

GO  := go
NPM := npm --prefix webclient

GENERATED := webclient/src/e2ee/generated
WASM      := $(GENERATED)/conclave.wasm
WASM_EXEC := $(GENERATED)/wasm_exec.js
TYPES     := webclient/src/signal/generated.ts
MODULES   := webclient/node_modules/.package-lock.json
PAGE      := webclient/dist/index.html
INTEROP   := e2ee/mls/interop
PEBBLE    := cmd/conclave/internal/certs/pebble
PEERS     := $(INTEROP)/node/node_modules/.package-lock.json

go_files   = $(shell find $(1) -name '*.go' -not -name '*_test.go' -not -path '*/node_modules/*' 2>/dev/null) go.mod go.sum
GO_SOURCES   := $(call go_files,cmd sfu room e2ee webclient)
WASM_SOURCES := $(call go_files,e2ee)
STRIPWASM    := $(wildcard cmd/conclave/internal/stripwasm/*.go)
WEB_SOURCES  := $(shell find webclient/src webclient/public -type f -not -path '*/generated/*' -not -name '*.test.ts*' 2>/dev/null) \
                $(wildcard webclient/*.html webclient/*.ts webclient/*.json webclient/.npmrc)
LDFLAGS := -s -w $(if $(strip $(VERSION)),-X main.version=$(strip $(VERSION)))

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

## Build

.PHONY: build run
build: bin/conclave ## bin/conclave, with the web client inside

run: build ## build, print a meeting link, serve on http://localhost:8080
	@echo "Open this link, and give it to whom you want to meet:"
	@bin/conclave link --url http://localhost:$(strip $(PORT))
	@exec bin/conclave serve --listen :$(strip $(PORT))

bin/conclave: $(GO_SOURCES) $(PAGE)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/conclave

# The same with --tap, with which a browser test proves that the server sees no
# frame in clear (cmd/conclave/tap.go).
bin/conclave-tap: $(GO_SOURCES) $(PAGE)
	CGO_ENABLED=0 $(GO) build -trimpath -tags tap -o $@ ./cmd/conclave

$(PAGE): $(MODULES) $(WASM) $(WASM_EXEC) $(WEB_SOURCES)
	$(NPM) run --silent build
	@touch $@ webclient/dist/.gitkeep

$(WASM): $(WASM_SOURCES) $(STRIPWASM)
	@mkdir -p $(@D)
	GOOS=js GOARCH=wasm $(GO) build -trimpath -ldflags '-s -w' -o $@ ./e2ee/wasm
	$(GO) run ./cmd/conclave/internal/stripwasm $@ $@

$(WASM_EXEC): go.mod
	@mkdir -p $(@D)
	cp "$$($(GO) env GOROOT)/lib/wasm/wasm_exec.js" $@
	@touch $@

$(MODULES): webclient/package.json webclient/package-lock.json
	$(NPM) ci --no-audit --no-fund
	@touch $@

.PHONY: gen
gen: ## regenerate what is generated and committed
	$(GO) tool tygo generate --config room/signal/tygo.yaml

## Test

.PHONY: test test-tools test-go interop test-web test-browser test-load
test: ## everything that must pass; installs Chromium, Firefox and a C compiler by apt-get if they are missing
	@.ci/steps test-tools build verify test-go interop test-web test-browser test-load

test-tools: ## what the tests need beyond Go, Node, npm and make
	@.ci/tools

# e2ee has no goroutine (an import test says so), so the race detector has nothing
# to find in it; it would make the vectors several times slower.
test-go: ## Go tests, with the race detector where goroutines are
	@.ci/count go $(GO) test -v -timeout 10m ./e2ee/...
	@.ci/count go-race $(GO) test -v $(if $(shell command -v cc),-race) -timeout 20m $$($(GO) list ./... | grep -v /e2ee)
	@.ci/count go-tap $(GO) test -v -tags tap -run Tap ./cmd/conclave

# Modules of their own, so that the peers are dependencies of no program.
interop: $(PEERS) ## the MLS core against ts-mls and mls-go, HTTPS against Pebble, and those modules' vet
	for module in $(INTEROP) $(PEBBLE); do (cd $$module && $(GO) vet ./... && $$($(GO) tool -C $(CURDIR) -n staticcheck) ./...) || exit; done
	@.ci/count go-interop env -C $(INTEROP) $(GO) test -v -timeout 10m ./...
	@.ci/count go-pebble env -C $(PEBBLE) $(GO) test -v -timeout 10m ./...

$(PEERS): $(INTEROP)/node/package.json $(INTEROP)/node/package-lock.json
	npm --prefix $(INTEROP)/node ci --no-audit --no-fund
	@touch $@

test-web: $(MODULES) $(WASM) $(WASM_EXEC) ## the web client's unit tests
	@.ci/count web $(NPM) run --silent test

BROWSERS := CHROMIUM="$${CHROMIUM:-$$(command -v chromium || command -v chromium-browser || command -v google-chrome)}" \
  FIREFOX="$${FIREFOX:-$$(command -v firefox-esr || command -v firefox)}" \
  CONCLAVE_BIN="$(CURDIR)/bin/conclave" CONCLAVE_TAP_BIN="$(CURDIR)/bin/conclave-tap"

test-browser: $(MODULES) bin/conclave bin/conclave-tap ## whole meetings in Chromium and Firefox
	@$(BROWSERS) .ci/count browser .ci/with-address $(NPM) run --silent e2e -- --exclude '**/network.e2e.ts'
	@$(BROWSERS) .ci/count networks .ci/two-networks $(NPM) run --silent e2e -- network

test-load: bin/conclave ## a short load test against a server of its own
	@.ci/loadtest

.PHONY: verify
verify: $(MODULES) $(WASM) $(WASM_EXEC) ## format, vet, staticcheck, types, lint, import rules, generated files
	@unformatted=$$(gofmt -l cmd sfu room e2ee webclient/*.go); \
	  [ -z "$$unformatted" ] || { echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags tap ./cmd/...
	GOOS=js GOARCH=wasm $(GO) vet ./e2ee/...
	$(GO) build -o bin/staticcheck honnef.co/go/tools/cmd/staticcheck # `go tool` would build it for js
	bin/staticcheck ./...
	GOOS=js GOARCH=wasm bin/staticcheck ./e2ee/wasm/...
	$(GO) test ./cmd/conclave/internal/imports
	@mkdir -p bin; cp -p $(TYPES) bin/types.before; $(MAKE) -s gen; cmp -s $(TYPES) bin/types.before || \
	  { echo "$(TYPES) was stale: 'make gen' has renewed it, commit it"; exit 1; }
	@mv bin/types.before $(TYPES) # with its time, or all that stands on it would be built again
	$(NPM) run --silent verify

.PHONY: faults soak
faults: ## bad networks, noise and hostile participants, at length: a table in bin/faults
	@mkdir -p bin/faults
	FAULTS=long FAULTS_OUT=$(CURDIR)/bin/faults $(GO) test -count 1 -v -timeout 60m ./cmd/conclave/internal/faults

SOAK ?= 1h # of `make soak`
soak: ## joins and leaves for SOAK (1h): what the process holds must not grow
	SOAK=$(strip $(SOAK)) $(GO) test -count 1 -v -timeout 0 -run TestSoak ./cmd/conclave/internal/faults

.PHONY: fuzz bench
fuzz: ## each Go fuzz target for FUZZTIME (30s)
	@.ci/fuzz $(strip $(FUZZTIME))

# The MLS core also as WebAssembly in node, and side by side with mls-go.
bench: ## Go benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...
	GOOS=js GOARCH=wasm $(GO) test -run '^$$' -bench './0x/N=' -benchtime 3x -exec "$$($(GO) env GOROOT)/lib/wasm/go_js_wasm_exec" ./e2ee/mls
	cd $(INTEROP) && $(GO) test -run '^$$' -bench .

BENCH ?= # flags of `make bench-sfu`, such as BENCH="--workloads W2 --rounds 5"
.PHONY: bench-sfu
bench-sfu: bin/conclave ## what forwarding costs, beside a bare loop (Linux)
	@mkdir -p bin/bench
	$(GO) build -trimpath -o bin/bench/benchsfu ./cmd/conclave/internal/benchsfu
	bin/bench/benchsfu --server bin/conclave --json bin/bench/sfu.json $(BENCH)

## Containers

ENGINE ?= $(shell for e in docker podman; do $$e info >/dev/null 2>&1 && { echo $$e; break; }; done)
need_engine = @[ -n "$(ENGINE)" ] || { echo "neither docker nor podman works here: start one, or apt-get install podman buildah runc"; exit 1; }
image_build = $(ENGINE) build $(if $(findstring podman,$(ENGINE)),--format docker) -f deploy/Dockerfile -t $(IMAGE)

.PHONY: image image-packed image-test
image: ## a container image, everything from source inside (docker or podman)
	$(need_engine)
	$(image_build) --build-arg VERSION=$(strip $(VERSION)) --target image .

image-packed: bin/conclave ## a container image of bin/conclave
	$(need_engine)
	$(image_build) --target packed .

image-test: image-packed ## run that image: it becomes healthy, serves, and ends on SIGTERM
	@.ci/image $(ENGINE) $(IMAGE)

.PHONY: clean
clean: ## back to what a fresh clone has
	rm -rf bin $(GENERATED) webclient/node_modules $(INTEROP)/node/node_modules
	find webclient/dist -mindepth 1 -not -name .gitkeep -delete
