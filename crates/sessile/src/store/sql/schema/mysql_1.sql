CREATE TABLE IF NOT EXISTS {table} (
    namespace         VARBINARY(64) NOT NULL,
    id                BINARY(16)    NOT NULL,
    version           BIGINT        NOT NULL,
    used_at           BIGINT        NOT NULL,
    idle_timeout      BIGINT,
    absolute_deadline BIGINT        NOT NULL,
    superseded        BIGINT        NOT NULL,
    owner             VARBINARY(255),
    sweep_at          BIGINT        NOT NULL,
    lock_token        BINARY(16),
    lock_until        BIGINT,
    record            LONGBLOB      NOT NULL,
    PRIMARY KEY (namespace, id),
    INDEX {sweep_index} (namespace, sweep_at),
    INDEX {owner_index} (namespace, owner, id)
) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS {owners} (
    namespace  VARBINARY(64)  NOT NULL,
    owner      VARBINARY(255) NOT NULL,
    not_before BIGINT         NOT NULL,
    PRIMARY KEY (namespace, owner)
) ENGINE = InnoDB;
