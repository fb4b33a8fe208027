# What a stranger needs: `make demo` shows sstash at work, `make test` passes every test. Both install
# what they need (a C compiler for the race detector, zstd, strace, a JDK 17 and Maven) with apt when
# root, and say what to run when not.
SHELL := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# What is run from here is compiled like what is installed, so that nothing is compiled twice.
# BENCH are flags of the benchmark, such as -markdown.
FLAGS = -trimpath -tags disable_grpc_modules
FUZZTIME ?= 10s

.PHONY: build demo test fuzz bench bench-data lint deps

build:
	CGO_ENABLED=0 go build $(FLAGS) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/sstash ./cmd/sstash

demo: deps build
	CGO_ENABLED=0 go run $(FLAGS) ./internal/demo -sstash bin/sstash

# chunker starts no goroutines, and the race detector makes its loops ten times slower: uploader, which
# encodes on several cores, runs it over them. e2e takes as long as all others together, so it begins.
test: deps
	go vet ./...
	go test ./chunker/...
	go test -race -timeout 60m ./internal/e2e $$(go list ./... | grep -v -e /chunker -e /e2e)
	@$(MAKE) --no-print-directory fuzz

fuzz:
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

bench: deps build
	@CGO_ENABLED=0 go run $(FLAGS) ./internal/bench -sstash bin/sstash $(BENCH)

# The SSTables of the benchmark, which it makes if they are not there: BENCH="-size 4GiB" for more.
bench-data: deps
	@CGO_ENABLED=0 go run $(FLAGS) ./internal/bench -data $(BENCH)

lint:
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run

deps:
	@.ci/deps
