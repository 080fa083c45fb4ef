--- Commands about counters: query-stats, query-stats-schemas. Lunik's own, as provider "lunik"; of
-- provider "kvm" there are none.

local json = require "lunik.json"
local failure = require "lunik.qmp.failure"

local function array(list) return setmetatable(list or {}, json.Array) end

-- Of each target: name and type.
local COUNTERS = {
  vcpu = { { "exits", "cumulative" }, { "io", "cumulative" }, { "mmio", "cumulative" },
    { "interrupted", "cumulative" }, { "dirtied", "cumulative" }, { "other", "cumulative" } },
  vm = { { "memslots", "instant" }, { "max_memslots", "instant" }, { "holds", "cumulative" } },
}

-- Returns the names that are asked for of a provider, nil: all; and whether it is asked for.
local function wanted(providers, provider)
  if not providers then return nil, true end
  for _, request in ipairs(providers) do
    if request.provider == provider then
      local set = request.names and {}
      for _, name in ipairs(request.names or {}) do set[name] = true end
      return set, true
    end
  end
  return nil, false
end

local function values(target, counters, names)
  local list = array()
  for _, counter in ipairs(COUNTERS[target]) do
    local name = counter[1]
    if not names or names[name] then list[#list + 1] = { name = name, value = counters[name] } end
  end
  return list
end

local function path_of(vcpu)
  return ("/machine/unattached/cpu[%d]"):format(vcpu.index)
end

-- Returns the vCPUs of these paths, nil: all.
local function select(m, paths)
  if not paths then return m:cpus() end
  local found, by_path = {}, {}
  for _, vcpu in ipairs(m:cpus()) do by_path[path_of(vcpu)] = vcpu end
  for i, path in ipairs(paths) do found[i] = by_path[path] or failure.no_device(path) end
  return found
end

local function query(m, args)
  local list = array()
  if args.vcpus and args.target ~= "vcpu" then
    failure.generic("Parameter 'vcpus' is unexpected")
  end
  local names, asked = wanted(args.providers, "lunik")
  if not asked then return list end
  if args.target == "vm" then
    list[1] = { provider = "lunik", stats = values("vm", m.stats, names) }
    return list
  end
  for i, vcpu in ipairs(select(m, args.vcpus)) do
    list[i] = { provider = "lunik", ["qom-path"] = path_of(vcpu),
      stats = values("vcpu", vcpu.stats, names) }
  end
  return list
end

local function schemas(_, args)
  local list = array()
  if args.provider == "kvm" then return list end
  for _, target in ipairs { "vm", "vcpu" } do
    local stats = array()
    for i, counter in ipairs(COUNTERS[target]) do
      stats[i] = { name = counter[1], type = counter[2], exponent = 0 }
    end
    list[#list + 1] = { provider = "lunik", target = target, stats = stats }
  end
  return list
end

return {
  { name = "query-stats", args = { target = "StatsTarget", vcpus = "?[str]",
    providers = "?[StatsRequest]" }, returns = "[StatsResult]", run = query },
  { name = "query-stats-schemas", args = { provider = "?StatsProvider" },
    returns = "[StatsSchema]", run = schemas },
}
