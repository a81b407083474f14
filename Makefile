# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
#
# GNU make.  `make help` lists the targets.  Sources are found by wildcard: a new .c file in a room of the
# house is built, a new t/unit/**/test_*.c becomes a test program, a new t/e2e/*.t is run by `make test`.
#
# BUILD=dir, CC=gcc|clang, SAN=1 (AddressSanitizer and UndefinedBehaviorSanitizer).

BUILD       ?= build
PREFIX      ?= /usr/local
DESTDIR     ?=
VERSION     := 0.1.0
SHARE_DIR   ?= $(CURDIR)
ifeq ($(origin CC),default)
CC          := gcc
endif

# ---- flags -----------------------------------------------------------------------------------------------------

WARN        := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Werror
CPPFLAGS_   := -D_GNU_SOURCE -I. -I$(BUILD)/gen -I$(shell pg_config --includedir 2>/dev/null || echo /usr/include/postgresql) \
               -I/usr/include/p11-kit-1 \
               -DCHANCERY_VERSION='"$(VERSION)"'
CFLAGS_     := -std=c11 -O2 -g -fPIC -fstack-protector-strong -fno-omit-frame-pointer $(WARN)
LDFLAGS_    := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
# curl is for those who use core/http_client.c; nobody is linked with what he does not use.
LIBS        := -lcurl -lssl -lcrypto -ljansson -lyaml -lpq -lmicrohttpd -llmdb -lseccomp -lp11-kit -lz -lpthread
ifdef SAN
SAN_FLAGS   := -fsanitize=address,undefined -fno-sanitize-recover=undefined
CFLAGS_     += -O1 $(SAN_FLAGS)
LDFLAGS_    += $(SAN_FLAGS)
else
CPPFLAGS_   += -D_FORTIFY_SOURCE=2
endif
COMPILE      = $(CC) $(CPPFLAGS_) $(CPPFLAGS) $(CFLAGS_) $(CFLAGS) -MMD -MP
LINK         = $(CC) $(CFLAGS_) $(CFLAGS) $(LDFLAGS_) $(LDFLAGS)

# ---- sources ---------------------------------------------------------------------------------------------------

tree         = $(sort $(shell find $(1) -name '$(2)' -type f 2>/dev/null))
objs         = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

PROTO_SRC   := $(call tree,pkiproto,*.c)
CORE_SRC    := $(call tree,core,*.c)
ORCH_SRC    := $(filter-out orchestrator/main.c,$(call tree,orchestrator,*.c))
MAIN_SRC    := $(wildcard orchestrator/main.c)
CLI_SRC     := $(filter-out cli/main.c,$(call tree,cli,*.c))
CLI_MAIN    := $(wildcard cli/main.c)
SQL_SRC     := $(sort $(wildcard orchestrator/store/sql/*.sql))
UNIT_SRC    := $(call tree,t/unit,test_*.c)
UNIT_HELP   := $(filter-out $(UNIT_SRC),$(call tree,t/unit,*.c))
TOOL_SRC    := $(sort $(wildcard t/lib/*.c t/bench/*.c))
LOAD_SRC    := $(sort $(wildcard t/bench/load/*.c))
MODULE_SRC  := $(sort $(wildcard ngx_module/* config)) $(call tree,pkiproto,*.h)

LIB_PROTO   := $(BUILD)/libpkiproto.a
LIB_CORE    := $(BUILD)/libcore.a
LIB_ORCH    := $(BUILD)/liborchestrator.a
LIB_CLI     := $(BUILD)/libcli.a
ALL_LIBS    := $(LIB_ORCH) $(LIB_CORE) $(LIB_PROTO)
GROUP       := -Wl,--start-group $(ALL_LIBS) -Wl,--end-group

GEN_SQL     := $(if $(and $(SQL_SRC),$(wildcard tools/sql2c.awk)),$(BUILD)/gen/sql.inc)
DAEMON      := $(if $(MAIN_SRC),$(BUILD)/chanceryd)
COMMAND     := $(if $(CLI_MAIN),$(BUILD)/chancery)
MODULE      := $(if $(wildcard tools/build-module),$(BUILD)/ngx_http_pki_module.so)
UNIT_BIN    := $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
TOOL_BIN    := $(patsubst %.c,$(BUILD)/%,$(TOOL_SRC))
LOAD_BIN    := $(addprefix $(BUILD)/t/bench/,ocsp_load revoke_race serials)

# ---- what people ask for ---------------------------------------------------------------------------------------

.DEFAULT_GOAL := help
.PHONY: help run test unit bench interop lint asan fuzz clean install build libs unit-build bootstrap prove print-libs FORCE
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-builtin-rules

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

bootstrap: ## install the Debian packages that are missing
	@tools/bootstrap run

bootstrap-lint:
	@tools/bootstrap quality || echo "lint: going on with what is installed" >&2

bootstrap-bench:
	@tools/bootstrap bench || tools/bootstrap test

bootstrap-%:
	@tools/bootstrap $*

build: libs $(DAEMON) $(COMMAND) $(MODULE) $(TOOL_BIN) ## build everything but the tests

libs: $(ALL_LIBS)

print-libs:
	@echo '$(LIBS)'

unit-build: $(UNIT_BIN)

# ---- rules -----------------------------------------------------------------------------------------------------

$(BUILD)/gen/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(COMPILE) / $(LINK))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(COMPILE) / $(LINK))' >$@

$(BUILD)/gen/sql.inc: $(SQL_SRC) tools/sql2c.awk $(BUILD)/gen/list.sql
	@mkdir -p $(@D)
	@echo "  SQL  $@"
	@awk -f tools/sql2c.awk $(SQL_SRC) >$@

# The one file that is told where the tree is: the others are the same in every checkout.
$(BUILD)/gen/share: FORCE
	@mkdir -p $(@D)
	@echo '$(SHARE_DIR)' | cmp -s - $@ || echo '$(SHARE_DIR)' >$@
$(BUILD)/obj/orchestrator/main.o: CPPFLAGS_ += -DCHANCERY_SHARE_DIR='"$(SHARE_DIR)"'
$(BUILD)/obj/orchestrator/main.o: $(BUILD)/gen/share

$(BUILD)/obj/%.o: %.c $(BUILD)/gen/flags | $(GEN_SQL)
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(COMPILE) -c -o $@ $<

$(BUILD)/gen/list.%: FORCE
	@mkdir -p $(@D)
	@echo '$(LIST)' | cmp -s - $@ || echo '$(LIST)' >$@

$(BUILD)/gen/list.pkiproto:     LIST := $(PROTO_SRC)
$(BUILD)/gen/list.core:         LIST := $(CORE_SRC)
$(BUILD)/gen/list.orchestrator: LIST := $(ORCH_SRC)
$(BUILD)/gen/list.cli:          LIST := $(CLI_SRC)
$(BUILD)/gen/list.sql:          LIST := $(SQL_SRC)

$(LIB_PROTO): $(call objs,$(PROTO_SRC)) $(BUILD)/gen/list.pkiproto
$(LIB_CORE):  $(call objs,$(CORE_SRC)) $(BUILD)/gen/list.core
$(LIB_ORCH):  $(call objs,$(ORCH_SRC)) $(BUILD)/gen/list.orchestrator
$(LIB_CLI):   $(call objs,$(CLI_SRC)) $(BUILD)/obj/cli/openapi.o $(BUILD)/gen/list.cli
$(ALL_LIBS) $(LIB_CLI):
	@echo "  AR   $@"
	@rm -f $@ && ar rcs $@ $(filter %.o,$^)

$(BUILD)/chanceryd: $(call objs,$(MAIN_SRC)) $(ALL_LIBS)
	@echo "  LINK $@"
	@$(LINK) -o $@ $(filter %.o,$^) $(GROUP) $(LIBS)

$(BUILD)/chancery: $(call objs,$(CLI_MAIN)) $(LIB_CLI) $(LIB_CORE) $(LIB_PROTO)
	@echo "  LINK $@"
	@$(LINK) -o $@ $(filter %.o,$^) $(LIB_CLI) $(LIB_CORE) $(LIB_PROTO) $(LIBS)

# The API's document is a part of the command.
$(BUILD)/obj/cli/openapi.o: docs/openapi.json
	@mkdir -p $(@D)
	@echo "  DATA $<"
	@python3 -c 'import json, sys; json.dump(json.load(open(sys.argv[1])), open(sys.argv[2], "w"), separators=(",", ":"))' \
	    $< $(@D)/openapi.json
	@cd $(@D) && ld -r -b binary -z noexecstack -o openapi.o openapi.json

$(BUILD)/ngx_http_pki_module.so: $(MODULE_SRC) $(LIB_PROTO) $(wildcard tools/build-module)
	@echo "  NGX  $@"
	@env -u MAKEFLAGS -u MFLAGS BUILD='$(BUILD)' CC='$(CC)' SAN='$(SAN)' SAN_FLAGS='$(SAN_FLAGS)' tools/build-module

$(BUILD)/unit/cli/%: $(BUILD)/obj/t/unit/cli/%.o $(LIB_CLI) $(LIB_CORE) $(LIB_PROTO)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(LINK) -o $@ $^ -lcriterion $(LIBS)

$(BUILD)/unit/%: $(BUILD)/obj/t/unit/%.o $(call objs,$(UNIT_HELP)) $(ALL_LIBS)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(LINK) -o $@ $(filter %.o,$^) $(GROUP) -lcriterion $(LIBS)

$(BUILD)/t/%: $(BUILD)/obj/t/%.o $(ALL_LIBS)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(LINK) -o $@ $(filter %.o,$^) $(GROUP) $(LIBS) -lm

$(LOAD_BIN): $(call objs,$(LOAD_SRC))

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- tests -----------------------------------------------------------------------------------------------------

JOBS        ?= 2
E2E         := $(sort $(wildcard t/e2e/*.t t/scenario/*.t))
ifeq ($(strip $(TESTS)),)
override TESTS := $(E2E) $(UNIT_BIN)
endif
T           ?= 60
# Criterion writes TAP on standard output; its chatter stays on standard error of a failing run only.
PROVE        = BUILD='$(BUILD)' CRITERION_OUTPUTS=tap:- CRITERION_JOBS=1 prove -j$(JOBS) $(PROVE_FLAGS)

unit: build unit-build ## run the unit tests
	@$(PROVE) $(UNIT_BIN)

test: bootstrap-test ## run every test (TESTS="..." for some of them)
	@$(MAKE) --no-print-directory -j$(JOBS) build unit-build
	@$(MAKE) --no-print-directory prove

prove:
	@$(PROVE) $(TESTS)

run: bootstrap ## start everything and print the URLs (VAR=, HTTP_PORT=, HTTPS_PORT=)
	@$(MAKE) --no-print-directory -j$(JOBS) build
	@BUILD='$(BUILD)' exec tools/run

bench: bootstrap-bench ## measure, and print ratios
	@$(MAKE) --no-print-directory -j$(JOBS) build
	@BUILD='$(BUILD)' exec tools/bench

interop: bootstrap-interop ## clients and linters that are fetched: OpenSSL 3.5, Java, pkilint, zlint
	@$(MAKE) --no-print-directory -j$(JOBS) build
	@BUILD='$(BUILD)' JOBS='$(JOBS)' PROVE_FLAGS='$(PROVE_FLAGS)' TESTS='$(INTEROP_TESTS)' exec tools/interop

lint: bootstrap-lint ## style, arrows, banned functions, static analysis
	@BUILD='$(BUILD)' tools/lint

asan: bootstrap-test ## the same tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@BUILD='$(BUILD)/asan' JOBS='$(JOBS)' TESTS='$(ASAN_TESTS)' tools/asan

fuzz: bootstrap-quality ## run every fuzzer for T=60 seconds
	@BUILD='$(BUILD)/fuzz' T='$(T)' tools/fuzz

clean: ## remove what was built
	rm -rf $(BUILD)

install: ## install below DESTDIR and PREFIX
	@$(MAKE) --no-print-directory BUILD='$(BUILD)/install' SHARE_DIR='$(PREFIX)/share/chancery' build
	@BUILD='$(BUILD)/install' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' tools/install
