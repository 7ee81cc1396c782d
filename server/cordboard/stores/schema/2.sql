-- Version 2: changes at platforms without transactions, that may be under way, or unknown.

CREATE TABLE plan_2 (
    account     TEXT NOT NULL,
    plan_id     TEXT NOT NULL,
    ordinal     BIGINT NOT NULL,             -- seq of its `planned` journal row: order of plans
    principal   TEXT NOT NULL,
    request_key TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('open', 'approved', 'applying', 'applied',
                                               'partly_applied', 'unknown', 'failed', 'declined',
                                               'stale', 'expired', 'discarded')),
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

INSERT INTO plan_2 (account, plan_id, ordinal, principal, request_key, state, body, hash, reason,
                    expires_at, closed_at, closed_by, closed_why, used, undoes, undone_by)
SELECT account, plan_id, ordinal, principal, request_key, state, body, hash, reason,
       expires_at, closed_at, closed_by, closed_why, used, undoes, undone_by
FROM plan;

DROP TABLE plan;

ALTER TABLE plan_2 RENAME TO plan;

CREATE UNIQUE INDEX plan_open ON plan (account, request_key) WHERE state = 'open';
CREATE INDEX plan_waiting ON plan (account, state, ordinal) WHERE state IN ('open', 'approved');

-- A plan being applied at a platform, until every number of it is settled. Whoever has the newest
-- fence works on it; once `due_at` has passed any process may take it over, with a new fence.
CREATE TABLE operation (
    account    TEXT NOT NULL,
    plan_id    TEXT NOT NULL,
    platform   TEXT NOT NULL,
    fence      BIGINT NOT NULL,              -- only rises
    due_at     TEXT NOT NULL,
    started_at TEXT NOT NULL,
    PRIMARY KEY (account, plan_id)
);

-- A number that no other plan may touch at that platform until its operation has settled it.
CREATE TABLE hold (
    account  TEXT NOT NULL,
    platform TEXT NOT NULL,
    number   TEXT NOT NULL,
    plan_id  TEXT NOT NULL,
    PRIMARY KEY (account, platform, number)
);

CREATE INDEX hold_plan ON hold (account, plan_id);

-- How far each change of such a plan is. Kept as the record of what became of it.
CREATE TABLE step (
    account   TEXT NOT NULL,
    plan_id   TEXT NOT NULL,
    position  BIGINT NOT NULL,               -- of the change in its plan
    state     TEXT NOT NULL CHECK (state IN ('ready', 'sending', 'unknown', 'applied', 'not_applied')),
    done      BIGINT NOT NULL DEFAULT 0,     -- how many of its writes are known to be in effect
    back      BIGINT NOT NULL DEFAULT 0,     -- 1: the rest was refused, it is being put back
    detail    TEXT NOT NULL DEFAULT '',
    settle_at TEXT NOT NULL DEFAULT '',      -- sending, unknown: when reading it decides
    tries     BIGINT NOT NULL DEFAULT 0,     -- how often the next write was sent already
    bare_from TEXT NOT NULL DEFAULT '',      -- a move: since when nobody answers the number
    PRIMARY KEY (account, plan_id, position)
);
