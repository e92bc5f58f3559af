CREATE TABLE IF NOT EXISTS {table} (
    namespace         BLOB    NOT NULL,
    id                BLOB    NOT NULL,
    version           INTEGER NOT NULL,
    used_at           INTEGER NOT NULL,
    idle_timeout      INTEGER,
    absolute_deadline INTEGER NOT NULL,
    superseded        INTEGER NOT NULL,
    owner             BLOB,
    sweep_at          INTEGER NOT NULL,
    lock_token        BLOB,
    lock_until        INTEGER,
    record            BLOB    NOT NULL,
    PRIMARY KEY (namespace, id)
);
CREATE INDEX IF NOT EXISTS {sweep_index} ON {table} (namespace, sweep_at);
CREATE INDEX IF NOT EXISTS {owner_index} ON {table} (namespace, owner, id) WHERE owner IS NOT NULL;
CREATE TABLE IF NOT EXISTS {owners} (
    namespace  BLOB    NOT NULL,
    owner      BLOB    NOT NULL,
    not_before INTEGER NOT NULL,
    PRIMARY KEY (namespace, owner)
) WITHOUT ROWID;
