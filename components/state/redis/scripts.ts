// What the server does for state.redis in one step each. A key is a hash with `data`, `version` (rises with every write; the etag) and,
// for keys written first-write, `first-write`: the layout of Dapr's Go driver, so that both may share a server. A key of another type is
// replaced by a write, as there. Scripts answer 1 when done, and 0, having changed nothing, when an etag does not match.
import { RedisScript } from "../../shared/redis-script.ts";

/**
 * A write's guard and its work, as Lua functions over one key:
 *   expected  the version that must be there; "" for any, also none
 *   guarded   "1": refused when the key is marked first-write
 *   mark      "1": marks the key first-write
 *   seconds   to live; "0" for ever
 */
const functions = `
local function allowed(key, expected, guarded)
  if expected == '' and guarded == '0' then return true end
  local version = redis.pcall('HGET', key, 'version')
  if type(version) == 'table' then return expected == '' end
  if expected ~= '' then return version == expected end
  return not version or redis.call('HEXISTS', key, 'first-write') == 0
end
local function upsert(key, data, mark, seconds)
  if type(redis.pcall('HINCRBY', key, 'version', 1)) == 'table' then
    redis.call('DEL', key)
    redis.call('HSET', key, 'version', 1)
  end
  redis.call('HSET', key, 'data', data)
  if mark == '1' then redis.call('HSET', key, 'first-write', 0) end
  if seconds == '0' then redis.call('PERSIST', key) else redis.call('EXPIRE', key, seconds) end
end
`;

/** KEYS: the key. ARGV: expected, guarded, mark, seconds, data. */
export const upsertScript = new RedisScript(`${functions}
if not allowed(KEYS[1], ARGV[1], ARGV[2]) then return 0 end
upsert(KEYS[1], ARGV[5], ARGV[3], ARGV[4])
return 1`);

/** KEYS: the key. ARGV: expected. */
export const deleteScript = new RedisScript(`${functions}
if not allowed(KEYS[1], ARGV[1], '0') then return 0 end
redis.call('DEL', KEYS[1])
return 1`);

/** KEYS: one per operation, in order. ARGV: six per operation: `set` or `delete`, expected, guarded, mark, seconds, data. */
export const transactionScript = new RedisScript(`${functions}
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 6
  if not allowed(key, ARGV[at + 2], ARGV[at + 3]) then return 0 end
end
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 6
  if ARGV[at + 1] == 'set' then upsert(key, ARGV[at + 6], ARGV[at + 4], ARGV[at + 5]) else redis.call('DEL', key) end
end
return 1`);
