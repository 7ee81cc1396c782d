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

CREATE TABLE approver_3 (
    account      TEXT NOT NULL,
    name         TEXT NOT NULL,
    principal    TEXT NOT NULL,              -- the operating-system user who enrolled it
    subjects     TEXT NOT NULL DEFAULT '[]', -- JSON list: what this person signs in as elsewhere
    passphrase   TEXT NOT NULL,              -- Argon2id
    added_at     TEXT NOT NULL,
    added_by     TEXT NOT NULL,
    PRIMARY KEY (account, name)
);

INSERT INTO approver_3 (account, name, principal, passphrase, added_at, added_by)
SELECT account, name, principal, passphrase, added_at, added_by FROM approver;

DROP TABLE approver;

ALTER TABLE approver_3 RENAME TO approver;

-- Wrong passphrases in a row, at each door of its own: what strangers try at the page shuts out
-- nobody at a terminal. name '': all names that nobody has.
CREATE TABLE passphrase_try (
    account   TEXT NOT NULL,
    door      TEXT NOT NULL CHECK (door IN ('sign-in', 'session', 'terminal')),
    name      TEXT NOT NULL,
    failures  BIGINT NOT NULL,
    failed_at TEXT NOT NULL,
    PRIMARY KEY (account, door, name)
);

-- Plans listed newest first.
CREATE INDEX plan_ordinal ON plan (account, ordinal);
CREATE INDEX plan_under_way ON plan (account, ordinal) WHERE state IN ('applying', 'unknown');

-- What the end of a step rests on, where it is not what was read (see stores/operations.py).
ALTER TABLE step ADD COLUMN ended TEXT NOT NULL DEFAULT '';

-- The token whose own right let a plan pass, where nobody was asked.
ALTER TABLE plan ADD COLUMN by_token TEXT NOT NULL DEFAULT '';

-- Sessions of the approvals page that were signed out of before their time was over.
CREATE TABLE session_end (
    account TEXT NOT NULL,
    nonce   TEXT NOT NULL,
    until   TEXT NOT NULL,                   -- from then on the cookie counts for nothing anyhow
    PRIMARY KEY (account, nonce)
);
