CREATE TABLE IF NOT EXISTS {table} (
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
CREATE INDEX IF NOT EXISTS {sweep_index} ON {table} (namespace, sweep_at);
CREATE INDEX IF NOT EXISTS {owner_index} ON {table} (namespace, owner, id) WHERE owner IS NOT NULL;
CREATE TABLE IF NOT EXISTS {owners} (
    namespace  bytea  NOT NULL,
    owner      bytea  NOT NULL,
    not_before bigint NOT NULL,
    PRIMARY KEY (namespace, owner)
) WITH (fillfactor = 80);
