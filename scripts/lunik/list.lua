--- Lists whose members are added and removed in the same time however many there are.
--
-- A member is a table; it is in one list at most, and while it is there its fields list, previous
-- and next belong to the list. None of these calls takes memory, but new(); none takes room on the
-- C stack, but #list (list.count is the same).

local List = {}

--- A new list; #list is how many members it has.
function List.new()
  local list = setmetatable({ count = 0 }, List)
  list.previous, list.next = list, list
  return list
end

function List:__len()
  return self.count
end

--- Appends a member that is in no list.
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

--- Appends the members, in order, to an array of n values; returns how many it has then.
function List.copy(list, array, n)
  local member = list.next
  for i = n + 1, n + list.count do
    array[i], member = member, member.next
  end
  return n + list.count
end

return List
