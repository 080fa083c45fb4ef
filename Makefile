# Lunik: build, test, install. `make help` lists the targets.
CC      ?= gcc
BUILD   ?= build
CFLAGS  ?= -O2 -g
LUA     ?= lua5.4
PKGS     = lua5.4 libuv liburcu-qsbr libedit libseccomp

WARN     = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter
CSTD     = -std=gnu11 -fvisibility=hidden -fPIC -pthread -MMD -MP
INC      = -Iruntime $(shell pkg-config --cflags lua5.4 libuv liburcu-qsbr)
LIB_SRC  = $(wildcard runtime/*.c runtime/memory/*.c runtime/listeners/*.c runtime/boot/*.c devices/*.c acpi/*.c)
BIND_SRC = $(filter-out bindings/main.c,$(wildcard bindings/*.c))
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
BIND_OBJ = $(BIND_SRC:%.c=$(BUILD)/obj/%.o)
MAIN_OBJ = $(BUILD)/obj/bindings/main.o
LIBS     = $(shell pkg-config --libs libuv liburcu-qsbr) -lnuma -pthread

all: $(BUILD)/liblunik.so $(BUILD)/lua/lunik/core.so $(BUILD)/lunik

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(WARN) $(CFLAGS) $(INC) -c -o $@ $<

$(BUILD)/liblunik.so: $(LIB_OBJ)
	$(CC) -shared $(CFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/lua/lunik/core.so: $(BIND_OBJ) $(BUILD)/liblunik.so
	@mkdir -p $(@D)
	$(CC) -shared $(CFLAGS) -o $@ $(BIND_OBJ) -L$(BUILD) -llunik -Wl,-rpath,'$$ORIGIN/../..' $(LIBS)

$(BUILD)/lunik: $(MAIN_OBJ) $(BIND_OBJ) $(BUILD)/liblunik.so
	$(CC) $(CFLAGS) -rdynamic -o $@ $(MAIN_OBJ) $(BIND_OBJ) -L$(BUILD) -llunik -Wl,-rpath,'$$ORIGIN' $(LIBS) $(shell pkg-config --libs lua5.4) -ledit

-include $(LIB_OBJ:.o=.d) $(BIND_OBJ:.o=.d) $(MAIN_OBJ:.o=.d)
.PHONY: all
