CREATE TABLE IF NOT EXISTS "sessile_schema" (version BIGINT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS "sessile" (
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
CREATE INDEX IF NOT EXISTS "sessile_sweep" ON "sessile" (namespace, sweep_at);
CREATE INDEX IF NOT EXISTS "sessile_by_owner" ON "sessile" (namespace, owner, id) WHERE owner IS NOT NULL;
CREATE TABLE IF NOT EXISTS "sessile_owners" (
    namespace  BLOB    NOT NULL,
    owner      BLOB    NOT NULL,
    not_before INTEGER NOT NULL,
    PRIMARY KEY (namespace, owner)
) WITHOUT ROWID;
INSERT OR IGNORE INTO "sessile_schema" (version) VALUES (1);
