/* core.c: the module "lunik.core": the C half of require "lunik". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

/* A handler that closes the state ends the process: what it was called by goes on till then. */
static bool in_handler(const struct bindings *b)
{
    return b->calls || !lunik_on_loop_thread(b->rt);
}

/* Frees the runtime, or leaves it to its owner. */
static void leave_runtime(struct bindings *b, bool closed)
{
    lunik_runtime_unuse(b->rt);
    if (b->shared)
        bind_types_leave(b);
    else if (closed && !in_handler(b) && !lunik_runtime_free(b->rt))
        bind_types_free(b);
    b->rt = NULL;
}

/* The Lua state is being closed: closes the machines and frees the runtime. This userdata was made
 * first, so all boxes have been finalized before it. */
static int state_gc(lua_State *L)
{
    struct bindings *b = lua_touserdata(L, 1);
    bool closed = true;

    if (b->closing)
        return 0;
    b->closing = true;
    if (!b->rt)
        return 0;
    bind_loop_release(b);
    bind_sockets_release(b);
    while (b->machines)
        closed &= bind_machine_end(b->machines);
    bind_requests_release(b);
    leave_runtime(b, closed);
    return 0;
}

static void new_state(lua_State *L)
{
    struct bindings *b = lua_newuserdatauv(L, sizeof(*b), 1);

    *b = (struct bindings){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, state_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    b->maker = lua_newthread(L);
    lua_setiuservalue(L, -2, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &bind_state_key);
}

/* core.parse_size(value, what) */
static int parse_size(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)bind_size(L, 1, bind_opt_string(L, 2, "size: what", "size")));
    return 1;
}

/* core.set_library_dirs(dir, dir): error positions skip functions from these directories */
static int set_library_dirs(lua_State *L)
{
    struct bindings *b = bind_state(L);

    for (int i = 0; i < BIND_LIBRARY_DIRS; i++)
        snprintf(b->library_dirs[i], sizeof(b->library_dirs[i]), "%s",
                 bind_string(L, i + 1, "directory"));
    return 0;
}

/* core.is_a(value, class) -> whether value is a userdata of that class */
static int is_a(lua_State *L)
{
    lua_pushboolean(L, luaL_testudata(L, 1, bind_string(L, 2, "class")) != NULL);
    return 1;
}

static const char fs_request_class[] = "lunik.FsRequest";

static int fs_request_gc(lua_State *L)
{
    uv_fs_req_cleanup(lua_touserdata(L, 1));
    return 0;
}

/* Pushes a request whose memory goes at the latest with its userdata: an error that Lua raises
 * may come between the call and the use of what it returned. */
static uv_fs_t *fs_request(lua_State *L)
{
    uv_fs_t *request = lua_newuserdatauv(L, sizeof(*request), 0);

    memset(request, 0, sizeof(*request));
    luaL_setmetatable(L, fs_request_class);
    return request;
}

static void fs_request_open(lua_State *L)
{
    luaL_newmetatable(L, fs_request_class);
    lua_pushcfunction(L, fs_request_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

/* core.lstat(path) -> "file", "dir", "link" or "other", its mode, a link's target; or nil */
static int lstat_path(lua_State *L)
{
    const char *path = bind_string(L, 1, "lstat: path");
    uv_fs_t request, *link;
    uint64_t mode;

    if (uv_fs_lstat(NULL, &request, path, NULL) < 0)
        return 0;
    mode = request.statbuf.st_mode;
    uv_fs_req_cleanup(&request);
    lua_pushstring(L, S_ISREG(mode)   ? "file"
                      : S_ISDIR(mode) ? "dir"
                      : S_ISLNK(mode) ? "link"
                                      : "other");
    lua_pushinteger(L, (lua_Integer)(mode & 07777));
    if (!S_ISLNK(mode))
        return 2;
    link = fs_request(L);
    if (uv_fs_readlink(NULL, link, path, NULL) < 0)
        return 0;
    lua_pushstring(L, link->ptr);
    lua_replace(L, -2);
    uv_fs_req_cleanup(link);
    return 3;
}

/* core.scandir(path) -> {name, ...}, or nil if it is not a directory that can be read */
static int scandir_names(lua_State *L)
{
    const char *path = bind_string(L, 1, "scandir: path");
    uv_fs_t *request = fs_request(L);
    uv_dirent_t entry;
    lua_Integer count = 0;

    lua_newtable(L);
    if (uv_fs_scandir(NULL, request, path, 0, NULL) < 0) {
        uv_fs_req_cleanup(request);
        return 0;
    }
    while (uv_fs_scandir_next(request, &entry) == 0) {
        lua_pushstring(L, entry.name);
        lua_rawseti(L, -2, ++count);
    }
    uv_fs_req_cleanup(request);
    return 1;
}

/* core.mkdir(path) -> whether the directory was made, for its owner alone */
static int make_directory(lua_State *L)
{
    const char *path = bind_string(L, 1, "mkdir: path");
    uv_fs_t request;
    int rc = uv_fs_mkdir(NULL, &request, path, 0700, NULL);

    uv_fs_req_cleanup(&request);
    lua_pushboolean(L, rc == 0);
    return 1;
}

/* core.pid() */
static int process_id(lua_State *L)
{
    lua_pushinteger(L, uv_os_getpid());
    return 1;
}

static const luaL_Reg functions[] = {
    {"pid", process_id},
    {"lstat", lstat_path},
    {"mkdir", make_directory},
    {"scandir", scandir_names},
    {"machine", bind_lua_machine_new},
    {"machines", bind_lua_machines},
    {"device_del", bind_lua_device_del},
    {"fw_cfg_add", bind_lua_fw_cfg_add},
    {"fw_cfg", bind_lua_fw_cfg},
    {"fw_cfg_names", bind_lua_fw_cfg_names},
    {"netdev_send", bind_lua_netdev_send},
    {"netdev_watch", bind_lua_netdev_watch},
    {"blockdev_functions", bind_lua_blockdev_functions},
    {"request", bind_lua_request},
    {"on_end", bind_lua_on_end},
    {"undrain", bind_lua_undrain},
    {"emit", bind_lua_emit},
    {"observe", bind_lua_observe},
    {"record", bind_lua_record},
    {"trace_handler", bind_lua_trace_handler},
    {"pci_functions", bind_lua_pci_functions},
    {"pci_bar", bind_lua_pci_bar},
    {"pci_rom", bind_lua_pci_rom},
    {"pci_msi", bind_lua_pci_msi},
    {"pci_msix", bind_lua_pci_msix},
    {"pci_capability", bind_lua_pci_capability},
    {"pci_intx", bind_lua_pci_intx},
    {"pci_send", bind_lua_pci_send},
    {"pci_vectors", bind_lua_pci_vectors},
    {"pci_read", bind_lua_pci_read},
    {"pci_write", bind_lua_pci_write},
    {"state_get", bind_lua_state_get},
    {"state_set", bind_lua_state_set},
    {"kvm_irqchip", bind_lua_kvm_irqchip},
    {"types", bind_lua_types},
    {"type", bind_lua_type},
    {"type_add", bind_lua_type_add},
    {"ejected", bind_lua_ejected},
    {"refused", bind_lua_refused},
    {"error", bind_lua_error_new},
    {"text", bind_lua_text},
    {"sys_error", bind_lua_sys_error_new},
    {"suggest", bind_lua_suggest},
    {"parse_size", parse_size},
    {"dirty_sample", bind_lua_dirty_sample},
    {"topology", bind_lua_topology},
    {"dirty_compare", bind_lua_dirty_compare},
    {"set_library_dirs", set_library_dirs},
    {"is_a", is_a},
    {"message", bind_lua_message},
    {"sandbox", bind_lua_sandbox},
    {"sandboxed", bind_lua_sandboxed},
    {"sandbox_denial", bind_lua_sandbox_denial},
    {"sanitized", bind_lua_sanitized},
    {0},
};

static void open_classes(lua_State *L)
{
    int classes;

    lua_newtable(L);
    classes = lua_gettop(L);
    bind_machine_open(L, classes);
    bind_object_open(L, classes);
    bind_region_open(L, classes);
    bind_space_open(L, classes);
    bind_vcpu_open(L, classes);
    bind_irq_open(L, classes);
    bind_listener_open(L, classes);
    bind_timer_open(L, classes);
    bind_ioeventfd_open(L, classes);
    bind_dirty_open(L, classes);
    bind_loop_open(L, classes);
    lua_setfield(L, -2, "classes");
}

/* Returns the same module if it is called again in the same state, e.g. by a test runner that
 * clears package.loaded. */
int luaopen_lunik_core(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &bind_core_key) == LUA_TTABLE)
        return 1;
    luaL_checkversion(L);
    new_state(L);
    bind_error_open(L);
    bind_trace_open(L);
    fs_request_open(L);
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    luaL_setfuncs(L, bind_loop_functions, 0);
    luaL_setfuncs(L, bind_console_functions, 0);
    luaL_setfuncs(L, bind_stream_functions, 0);
    luaL_setfuncs(L, bind_disassemble_functions, 0);
    luaL_setfuncs(L, bind_socket_functions, 0);
    lua_pushstring(L, lunik_version());
    lua_setfield(L, -2, "version");
    lua_pushinteger(L, (lua_Integer)LUNIK_SIZE_MAX);
    lua_setfield(L, -2, "SIZE_MAX");
    lua_newtable(L);
    lua_setfield(L, -2, "hooks");
    lua_newtable(L); /* data that the Lua half keeps when it is loaded again */
    lua_setfield(L, -2, "shared");
    open_classes(L);
    bind_search_open(L);
    bind_socket_open(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &bind_core_key);
    return 1;
}
