-- Version 3: sign-in over HTTP.

-- Static bearer tokens. The secret itself is nowhere; what a token says of itself is its key here.
CREATE TABLE token (
    account    TEXT NOT NULL,
    token_id   TEXT NOT NULL,
    name       TEXT NOT NULL,                -- of the program that has it; one live token a name
    hash       TEXT NOT NULL,                -- SHA-256 of its secret
    subject    TEXT NOT NULL,                -- the person it stands for
    scopes     TEXT NOT NULL,                -- JSON list
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at TEXT NOT NULL DEFAULT '',     -- '': never
    revoked_at TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, token_id)
);

CREATE INDEX token_name ON token (account, name);

-- The subjects an approver signs in with elsewhere: four eyes are compared as people. JSON list.
ALTER TABLE approver ADD COLUMN subjects TEXT NOT NULL DEFAULT '[]';

-- How often in a row a passphrase came with a name that nobody has; one count for all such names.
CREATE TABLE name_guess (
    account   TEXT NOT NULL PRIMARY KEY,
    failures  BIGINT NOT NULL,
    failed_at TEXT NOT NULL
);

-- Plans listed newest first.
CREATE INDEX plan_ordinal ON plan (account, ordinal);
CREATE INDEX plan_under_way ON plan (account, ordinal) WHERE state IN ('applying', 'unknown');

-- What the end of a step rests on, where it is not what was read (see stores/operations.py).
ALTER TABLE step ADD COLUMN ended TEXT NOT NULL DEFAULT '';
