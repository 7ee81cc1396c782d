-- Version 4: several machines on one database.

-- What seals questions and cursors, where no file beside the store can be shared. account '': of all.
CREATE TABLE seal_key (
    account TEXT NOT NULL PRIMARY KEY,
    sealed_with TEXT NOT NULL                -- 32 bytes in hex
);
