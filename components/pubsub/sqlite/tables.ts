// The tables of pubsub.sqlite and every statement on them. A publish writes the message once and one delivery per consumer group of
// its topic; a delivery is deleted when it is acknowledged, and the message with its last delivery.
// A delivery's `due_at` (ms since the epoch) decides who may take it: 0 has never been taken, in the past it may be taken again, in
// the future it is leased, or waits after a refusal. `lease` names the consumer that holds it.
import type { SqlValue, Statement } from "../../shared/sqlite-protocol.ts";

export const createTables: readonly Statement[] = [
  `CREATE TABLE IF NOT EXISTS pubsub_messages (
     id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, data BLOB NOT NULL, metadata TEXT NOT NULL, expires_at INTEGER NOT NULL)`,
  "CREATE INDEX IF NOT EXISTS pubsub_messages_expires_at ON pubsub_messages (expires_at)",
  `CREATE TABLE IF NOT EXISTS pubsub_groups (
     id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, name TEXT NOT NULL, seen_at INTEGER NOT NULL, UNIQUE (topic, name))`,
  `CREATE TABLE IF NOT EXISTS pubsub_deliveries (
     group_id INTEGER NOT NULL, message_id INTEGER NOT NULL, due_at INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
     lease TEXT, PRIMARY KEY (group_id, message_id)) WITHOUT ROWID`,
  "CREATE INDEX IF NOT EXISTS pubsub_deliveries_due_at ON pubsub_deliveries (group_id, due_at, message_id)",
  "CREATE INDEX IF NOT EXISTS pubsub_deliveries_message_id ON pubsub_deliveries (message_id)",
].map((sql) => ({ sql }));

/** A topic that no group has subscribed to keeps nothing. */
export function publish(topic: string, data: Uint8Array, metadata: string, expiresAt: number): readonly Statement[] {
  return [
    {
      sql: `INSERT INTO pubsub_messages (topic, data, metadata, expires_at)
            SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM pubsub_groups WHERE topic = ?1)`,
      params: [topic, data, metadata, expiresAt],
    },
    {
      sql: "INSERT INTO pubsub_deliveries (group_id, message_id) SELECT id, last_insert_rowid() FROM pubsub_groups WHERE topic = ?",
      params: [topic],
    },
  ];
}

/** One row: the group's id. */
export function joinGroup(topic: string, name: string, now: number): Statement {
  return {
    sql: `INSERT INTO pubsub_groups (topic, name, seen_at) VALUES (?, ?, ?)
          ON CONFLICT (topic, name) DO UPDATE SET seen_at = excluded.seen_at RETURNING id`,
    params: [topic, name, now],
    expect: 1,
  };
}

/** A row when there is something to take. */
export const peekSql = `SELECT 1 FROM pubsub_deliveries WHERE group_id = ? AND due_at <= ? LIMIT 1`;

/**
 * Takes up to `count` deliveries: first those whose lease or pause has run out, which are the oldest, then new ones in order.
 * The second statement gives their rows; `until` must be unique among what the lease holds.
 */
export function take(group: SqlValue, lease: string, now: number, until: number, count: number): readonly Statement[] {
  return [
    {
      sql: `UPDATE pubsub_deliveries SET due_at = ?4, lease = ?2, attempts = attempts + 1
            WHERE group_id = ?1 AND message_id IN (
              SELECT message_id FROM (SELECT message_id FROM pubsub_deliveries
                WHERE group_id = ?1 AND due_at > 0 AND due_at <= ?3 ORDER BY due_at LIMIT ?5)
              UNION ALL
              SELECT message_id FROM (SELECT message_id FROM pubsub_deliveries
                WHERE group_id = ?1 AND due_at = 0 ORDER BY message_id LIMIT ?5)
              LIMIT ?5)`,
      params: [group, lease, now, until, count],
    },
    {
      sql: `SELECT d.message_id, d.attempts, m.data, m.metadata, m.expires_at
            FROM pubsub_deliveries d JOIN pubsub_messages m ON m.id = d.message_id
            WHERE d.group_id = ? AND d.due_at = ? AND d.lease = ? ORDER BY d.message_id`,
      params: [group, until, lease],
    },
  ];
}

export function acknowledge(group: SqlValue, message: SqlValue, lease: string): readonly Statement[] {
  return [
    { sql: "DELETE FROM pubsub_deliveries WHERE group_id = ? AND message_id = ? AND lease = ?", params: [group, message, lease] },
    {
      sql: "DELETE FROM pubsub_messages WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM pubsub_deliveries WHERE message_id = ?1)",
      params: [message],
    },
  ];
}

/** Not before `dueAt`. */
export function refuse(group: SqlValue, message: SqlValue, lease: string, dueAt: number): Statement {
  return {
    sql: "UPDATE pubsub_deliveries SET due_at = ?, lease = NULL WHERE group_id = ? AND message_id = ? AND lease = ?",
    params: [dueAt, group, message, lease],
  };
}

/** As if it had never been taken. */
export function giveBack(group: SqlValue, message: SqlValue, lease: string): Statement {
  return {
    sql: `UPDATE pubsub_deliveries SET due_at = iif(attempts > 1, 1, 0), attempts = attempts - 1, lease = NULL
          WHERE group_id = ? AND message_id = ? AND lease = ?`,
    params: [group, message, lease],
  };
}

export function renew(group: SqlValue, lease: string, until: number): Statement {
  return {
    sql: "UPDATE pubsub_deliveries SET due_at = ? WHERE group_id = ? AND due_at > 0 AND lease = ?",
    params: [until, group, lease],
  };
}

/** Rows and groups per cleaning transaction, so that it never holds the lock for long. */
const cleaningMaxRows = 1000;

/** Removes what has expired, and groups not seen since `unseenSince` with what they never fetched. */
export function clean(now: number, unseenSince: number): readonly Statement[] {
  const expired = `SELECT id FROM pubsub_messages WHERE expires_at <= ? ORDER BY expires_at LIMIT ${cleaningMaxRows}`;
  const gone = `SELECT id FROM pubsub_groups WHERE seen_at < ? LIMIT 1`;
  return [
    { sql: `DELETE FROM pubsub_deliveries WHERE message_id IN (${expired})`, params: [now] },
    { sql: `DELETE FROM pubsub_messages WHERE id IN (${expired})`, params: [now] },
    { sql: `DELETE FROM pubsub_deliveries WHERE group_id IN (${gone})`, params: [unseenSince] },
    { sql: `DELETE FROM pubsub_groups WHERE id IN (${gone})`, params: [unseenSince] },
  ];
}

export function seen(group: SqlValue, now: number): Statement {
  return { sql: "UPDATE pubsub_groups SET seen_at = ? WHERE id = ?", params: [now, group] };
}
