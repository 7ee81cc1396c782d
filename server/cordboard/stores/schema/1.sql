-- Version 1. `account` leads every key, so that a sharded engine can distribute by it.
-- Times are ISO 8601 UTC with milliseconds: they sort as text. Lists are JSON text.

CREATE TABLE account (
    account       TEXT NOT NULL PRIMARY KEY,
    seq           BIGINT NOT NULL,           -- of the newest journal row; also the change counter
    head          TEXT NOT NULL,             -- its hash
    frozen_at     TEXT NOT NULL DEFAULT '',
    frozen_by     TEXT NOT NULL DEFAULT '',
    frozen_reason TEXT NOT NULL DEFAULT ''
);

CREATE TABLE journal (
    account   TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    at        TEXT NOT NULL,
    event     TEXT NOT NULL,
    plan_id   TEXT NOT NULL,
    principal TEXT NOT NULL,
    plan_hash TEXT NOT NULL,
    data      TEXT NOT NULL,                 -- canonical JSON: before and after, and what else matters
    prev      TEXT NOT NULL,
    hash      TEXT NOT NULL,
    PRIMARY KEY (account, seq)
);

CREATE TABLE provider (
    account  TEXT NOT NULL,
    provider TEXT NOT NULL,
    PRIMARY KEY (account, provider)
);

CREATE TABLE agent (
    account    TEXT NOT NULL,
    agent      TEXT NOT NULL,                -- local:id
    name       TEXT NOT NULL,
    direction  TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    pathway_id TEXT NOT NULL DEFAULT '',
    user_id    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (account, agent),
    UNIQUE (account, agent, direction)
);

CREATE TABLE number (
    account          TEXT NOT NULL,
    number           TEXT NOT NULL,
    id               BIGINT NOT NULL,
    provider         TEXT NOT NULL DEFAULT '',
    label            TEXT NOT NULL DEFAULT '',
    purpose          TEXT NOT NULL DEFAULT '' CHECK (purpose IN ('', 'TEST', 'PRODUCTION')),
    tags             TEXT NOT NULL DEFAULT '[]',
    slug             TEXT NOT NULL,
    channels         TEXT NOT NULL DEFAULT '["voice"]',
    updated_at       TEXT NOT NULL,
    inbound_version  BIGINT NOT NULL DEFAULT 0,   -- only rises
    outbound_version BIGINT NOT NULL DEFAULT 0,   -- only rises
    PRIMARY KEY (account, number),
    UNIQUE (account, slug)
);

CREATE INDEX number_test ON number (account, number) WHERE purpose = 'TEST';

CREATE TABLE pathway (
    account    TEXT NOT NULL,
    pathway_id TEXT NOT NULL,
    name       TEXT NOT NULL,
    PRIMARY KEY (account, pathway_id)
);

CREATE TABLE pathway_version (
    account    TEXT NOT NULL,
    pathway_id TEXT NOT NULL,
    version    BIGINT NOT NULL CHECK (version > 0),
    nodes      TEXT NOT NULL,
    PRIMARY KEY (account, pathway_id, version),
    FOREIGN KEY (account, pathway_id) REFERENCES pathway (account, pathway_id)
);

CREATE TABLE binding (
    account         TEXT NOT NULL,
    number          TEXT NOT NULL,
    direction       TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    agent           TEXT NOT NULL,
    pathway_id      TEXT NOT NULL DEFAULT '',
    pathway_version BIGINT NOT NULL DEFAULT 0 CHECK (pathway_version >= 0),
    start_node_id   TEXT NOT NULL DEFAULT '',
    attached_at     TEXT NOT NULL,
    PRIMARY KEY (account, number, direction, agent),   -- each outbound pair at most once
    CHECK (pathway_id <> '' OR (pathway_version = 0 AND start_node_id = '')),
    FOREIGN KEY (account, number) REFERENCES number (account, number),
    FOREIGN KEY (account, agent, direction) REFERENCES agent (account, agent, direction)
);

-- Inbound: one number, at most one agent.
CREATE UNIQUE INDEX binding_inbound ON binding (account, number) WHERE direction = 'inbound';
CREATE INDEX binding_agent ON binding (account, agent, number);

CREATE TABLE plan (
    account     TEXT NOT NULL,
    plan_id     TEXT NOT NULL,
    ordinal     BIGINT NOT NULL,             -- seq of its `planned` journal row: order of plans
    principal   TEXT NOT NULL,
    request_key TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('open', 'approved', 'applied', 'declined', 'stale',
                                               'expired', 'discarded')),
    body        TEXT NOT NULL,               -- canonical JSON
    hash        TEXT NOT NULL,               -- SHA-256 of body
    reason      TEXT NOT NULL DEFAULT '',
    expires_at  TEXT NOT NULL,
    closed_at   TEXT NOT NULL DEFAULT '',
    closed_by   TEXT NOT NULL DEFAULT '',
    closed_why  TEXT NOT NULL DEFAULT '',
    used        TEXT NOT NULL DEFAULT '',    -- the guard level that was passed
    undoes      TEXT NOT NULL DEFAULT '',
    undone_by   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, plan_id)
);

CREATE UNIQUE INDEX plan_open ON plan (account, request_key) WHERE state = 'open';
CREATE INDEX plan_waiting ON plan (account, state, ordinal) WHERE state IN ('open', 'approved');

-- One row per number and plan, for list_changes and for undo.
CREATE TABLE plan_change (
    account      TEXT NOT NULL,
    ordinal      BIGINT NOT NULL,
    position     BIGINT NOT NULL,
    plan_id      TEXT NOT NULL,
    number       TEXT NOT NULL,
    direction    TEXT NOT NULL,
    before_agent TEXT NOT NULL,
    after_agent  TEXT NOT NULL,
    version      BIGINT NOT NULL DEFAULT 0,  -- of the number once applied; 0 before
    PRIMARY KEY (account, ordinal, position)
);

CREATE INDEX plan_change_number ON plan_change (account, number, ordinal, position);
CREATE INDEX plan_change_before ON plan_change (account, before_agent, ordinal, position);
CREATE INDEX plan_change_after ON plan_change (account, after_agent, ordinal, position);

-- What the guard let pass. A row is used once: `used_at` is set by one atomic update.
CREATE TABLE approval (
    account     TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    plan_id     TEXT NOT NULL,
    plan_hash   TEXT NOT NULL,
    requester   TEXT NOT NULL,
    approver    TEXT NOT NULL,
    level       TEXT NOT NULL,
    at          TEXT NOT NULL,
    expires_at  TEXT NOT NULL,
    used_at     TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, plan_id, approval_id)
);

CREATE TABLE approver (
    account      TEXT NOT NULL,
    name         TEXT NOT NULL,
    principal    TEXT NOT NULL,              -- the operating-system user who enrolled it
    passphrase   TEXT NOT NULL,              -- Argon2id
    added_at     TEXT NOT NULL,
    added_by     TEXT NOT NULL,
    failures     BIGINT NOT NULL DEFAULT 0,
    failed_at    TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, name)
);

-- Numbers changed by each principal's plans, for the hourly budget.
CREATE TABLE spent (
    account   TEXT NOT NULL,
    principal TEXT NOT NULL,
    at        TEXT NOT NULL,
    plan_id   TEXT NOT NULL,
    numbers   BIGINT NOT NULL,
    PRIMARY KEY (account, principal, at, plan_id)
);
