CREATE TABLE IF NOT EXISTS "sessile_schema" (version BIGINT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS "sessile" (
    namespace         bytea    NOT NULL,
    id                bytea    NOT NULL,
    version           bigint   NOT NULL,
    used_at           bigint   NOT NULL,
    idle_timeout      bigint,
    absolute_deadline bigint   NOT NULL,
    superseded        bigint   NOT NULL,
    owner             bytea,
    sweep_at          bigint   NOT NULL,
    lock_token        bytea,
    lock_until        bigint,
    record            bytea    NOT NULL,
    PRIMARY KEY (namespace, id)
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS "sessile_sweep" ON "sessile" (namespace, sweep_at);
CREATE INDEX IF NOT EXISTS "sessile_by_owner" ON "sessile" (namespace, owner, id) WHERE owner IS NOT NULL;
CREATE TABLE IF NOT EXISTS "sessile_owners" (
    namespace  bytea  NOT NULL,
    owner      bytea  NOT NULL,
    not_before bigint NOT NULL,
    PRIMARY KEY (namespace, owner)
) WITH (fillfactor = 80);
INSERT INTO "sessile_schema" (version) VALUES (1) ON CONFLICT DO NOTHING;
