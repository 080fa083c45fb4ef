--- Lists whose members are added and removed in constant time.
--
-- A member is a table; it is in at most one list, which uses its fields list, previous and next.
-- Only new() allocates memory; only #list uses the C stack (list.count does not).

local List = {}

--- Makes a list; #list is the number of its members.
function List.new()
  local list = setmetatable({ count = 0 }, List)
  list.previous, list.next = list, list
  return list
end

function List:__len()
  return self.count
end

--- Appends a member, which must not be in a list.
function List.add(list, member)
  local last = list.previous
  member.list, member.previous, member.next = list, last, list
  last.next, list.previous = member, member
  list.count = list.count + 1
end

--- Removes a member from its list, if it is in one.
function List.remove(member)
  local list = member.list
  if not list then return end
  member.previous.next, member.next.previous = member.next, member.previous
  member.list, member.previous, member.next = nil, nil, nil
  list.count = list.count - 1
end

--- The first member, or nil.
function List.first(list)
  return list.count > 0 and list.next or nil
end

--- Appends the members, in order, to an array of n values; returns the new number of values.
function List.copy(list, array, n)
  local member = list.next
  for i = n + 1, n + list.count do
    array[i], member = member, member.next
  end
  return n + list.count
end

return List
